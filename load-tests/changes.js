// Measures the effect of changes on a client: a fixed rate over random routes, in phases that take turns.
// Nothing changes; ten routes change each second; and, if a program forces them (see README.md), a whole
// snapshot every five seconds. Prints a table; no request may fail in any phase.
//
// Set by --env: ADMIN and PROXY (URLs), ORIGIN_PORT (of an origin on 127.0.0.1), ROUTES (10000), RATE (500),
// DURATION of a phase in seconds (60), SNAPSHOTS (1: with the phases of snapshots).

import http from 'k6/http';
import { check, fail } from 'k6';

const ADMIN = __ENV.ADMIN || 'http://127.0.0.1:8001';
const PROXY = __ENV.PROXY || 'http://127.0.0.1:8000';
const ORIGIN_PORT = Number(__ENV.ORIGIN_PORT || 9000);
const ROUTES = Number(__ENV.ROUTES || 10000);
const RATE = Number(__ENV.RATE || 500);
const DURATION = Number(__ENV.DURATION || 60);
const CHANGES = 10;
// The pause between two phases, so that requests in progress end.
const PAUSE = 3;
// The first seconds, in which requests find cold connections.
const WARM_UP = 5;

const KINDS = __ENV.SNAPSHOTS ? ['still', 'changing', 'snapshots'] : ['still', 'changing'];
const PHASES = [...KINDS, ...KINDS];

function scenarios() {
  const all = { warm_up: load('warm_up', 0, WARM_UP) };
  PHASES.forEach((kind, n) => {
    const start = WARM_UP + PAUSE + n * (DURATION + PAUSE);
    all[`${kind}_${n}`] = load(kind, start, DURATION);
    if (kind !== 'still') {
      all[`${kind}_${n}_source`] = { ...arrivals(kind === 'changing' ? CHANGES : 1, start, DURATION), exec: kind };
    }
  });
  return all;
}

function arrivals(rate, start, seconds) {
  return {
    executor: 'constant-arrival-rate',
    rate,
    startTime: `${start}s`,
    duration: `${seconds}s`,
    preAllocatedVUs: Math.max(2, rate / 5),
    maxVUs: Math.max(10, rate),
  };
}

function load(phase, start, seconds) {
  return { ...arrivals(RATE, start, seconds), exec: 'traffic', tags: { phase } };
}

export const options = {
  setupTimeout: '10m',
  summaryTrendStats: ['med', 'p(99)', 'p(99.9)', 'max', 'count'],
  scenarios: scenarios(),
  thresholds: {
    checks: ['rate==1.0'],
    dropped_iterations: ['count==0'],
    // A threshold makes the phase appear in the summary.
    ...Object.fromEntries(KINDS.map((kind) => [`http_req_duration{phase:${kind}}`, ['max>=0']])),
    ...Object.fromEntries(KINDS.map((kind) => [`http_req_failed{phase:${kind}}`, ['rate==0']])),
  },
};

export function setup() {
  write('PUT', '/services/changes', { host: '127.0.0.1', port: ORIGIN_PORT });
  for (let n = 0; n < ROUTES; n += 50) {
    const some = Array.from({ length: Math.min(50, ROUTES - n) }, (_, i) => put(n + i, 0));
    http.batch(some).forEach((response) => response.status === 200 || fail(`${response.status} ${response.body}`));
  }
}

export function traffic() {
  const { host, path } = place(Math.floor(Math.random() * ROUTES));
  const response = http.get(`${PROXY}${path}/get`, { headers: { Host: host }, tags: { name: 'traffic' } });
  check(response, { 'the request is served': (r) => r.status === 200 });
}

// A route of the same host and path with another priority: a client cannot notice it.
export function changing() {
  const [method, url, body, params] = put(Math.floor(Math.random() * ROUTES), 1 + Math.floor(Math.random() * 1000));
  const response = http.request(method, url, body, params);
  check(response, { 'the change is accepted': (r) => r.status === 200 });
}

// Announces the phase of snapshots; each announcement is valid for two seconds.
export function snapshots() {
  write('PUT', '/services/force-snapshots', { host: '127.0.0.1', tags: [`at-${Math.floor(Date.now() / 1000)}`] });
}

function place(n) {
  return { host: `tenant-${Math.floor(n / 100)}.example.com`, path: `/v1/service-${n % 100}` };
}

function put(n, priority) {
  const { host, path } = place(n);
  const body = JSON.stringify({
    hosts: [host],
    paths: [path],
    methods: ['GET', 'POST'],
    regex_priority: priority,
    service: { name: 'changes' },
  });
  const params = { headers: { 'Content-Type': 'application/json' }, tags: { name: 'admin' } };
  return ['PUT', `${ADMIN}/routes/changes-${n}`, body, params];
}

function write(method, path, body) {
  const response = http.request(method, `${ADMIN}${path}`, JSON.stringify(body), {
    headers: { 'Content-Type': 'application/json' },
    tags: { name: 'admin' },
  });
  check(response, { 'the write is accepted': (r) => r.status === 200 || r.status === 201 });
}

export function handleSummary(data) {
  const rows = KINDS.map((kind) => {
    const { med, 'p(99)': p99, 'p(99.9)': p999, max, count } = data.metrics[`http_req_duration{phase:${kind}}`].values;
    const failed = data.metrics[`http_req_failed{phase:${kind}}`].values.passes;
    return [kind, count, failed, ...[med, p99, p999, max].map((ms) => ms.toFixed(2))];
  });
  const title = `${ROUTES} routes, ${RATE} requests/s, ${PHASES.length} phases of ${DURATION} s; milliseconds\n`;
  const lines = [['phase', 'requests', 'failed', 'median', 'p99', 'p99.9', 'max'], ...rows];
  const table = lines.map((line) => line.map((cell) => String(cell).padStart(10)).join('')).join('\n');
  return { stdout: `${title}${table}\n` };
}
