// 500 requests/s over the five targets of an upstream, for each algorithm, while targets fail, return, are added
// and are removed. Retries are allowed, so no request may fail. Prints a table.
//
// Set by --env: ADMIN and PROXY (URLs), TARGETS_PORT (of targets.py), RATE (500), DURATION of a phase in seconds
// (8), ALGORITHMS and PHASES (names with commas between them; all).

import http from 'k6/http';
import { check, fail, sleep } from 'k6';
import { Counter, Trend } from 'k6/metrics';

const ADMIN = __ENV.ADMIN || 'http://127.0.0.1:8001';
const PROXY = __ENV.PROXY || 'http://127.0.0.1:8000';
const PORT = __ENV.TARGETS_PORT;
const RATE = Number(__ENV.RATE || 500);
const DURATION = Number(__ENV.DURATION || 8);
const TARGETS = [11, 12, 13, 14, 15];
// Those that the phase `changing` adds and removes.
const FURTHER = Array.from({ length: 20 }, (_, n) => 21 + n);
const CHANGES = 10;
const KEYS = 2000;
// Seconds before the first phase and between two, so that requests in progress end.
const PAUSE = 2;
// A target fails this long after the beginning of a phase, and returns after this part of it.
const FAILS_AFTER = 1;
const RETURNS_AFTER = DURATION * 0.6;
// In milliseconds. Each target is probed every 500 ms, with a timeout of 1 s; two failures or two successes decide.
const EJECTED_WITHIN = 4000;
const RETURNED_WITHIN = 3000;

// The least part of a fair share that each target has while nothing fails.
const LEAST_SHARE = {
  'round-robin': 0.9,
  'least-connections': 0.8,
  'consistent-hashing': 0.8,
  latency: 0.2,
  'sticky-sessions': 0.2,
};
// How many targets fail, and how. `ejects`: whether health checks must notice.
const FAULTS = {
  steady: {},
  killed: { count: 1, mode: 'killed', ejects: true },
  'three killed': { count: 3, mode: 'killed', ejects: true },
  flapping: { count: 1, mode: 'killed', flaps: true },
  slow: { count: 1, mode: 'slow' },
  failing: { count: 1, mode: 'failing', ejects: true },
  refusing: { count: 1, mode: 'refusing', ejects: true },
  silent: { count: 1, mode: 'silent', ejects: true },
  changing: { changes: true },
};

const ALGORITHMS = chosen(__ENV.ALGORITHMS, Object.keys(LEAST_SHARE));
const PHASES = chosen(__ENV.PHASES, Object.keys(FAULTS));
const RUNS = ALGORITHMS.flatMap((algorithm) =>
  PHASES.map((phase) => ({ algorithm, phase, run: `${algorithm}/${phase}` })),
);

const served = new Counter('served');
const ejected = new Trend('ejected', true);
const returned = new Trend('returned', true);

function chosen(given, all) {
  const names = given ? given.split(',') : all;
  names.forEach((name) => all.includes(name) || fail(`${name}: expected ${all}`));
  return names;
}

function scenarios() {
  const all = {};
  RUNS.forEach(({ algorithm, phase, run }, n) => {
    const startTime = `${PAUSE + n * (DURATION + PAUSE)}s`;
    const env = { ALGORITHM: algorithm, PHASE: phase };
    const name = run.replace(/[^a-z]/g, '_');
    all[name] = {
      executor: 'constant-arrival-rate',
      exec: 'traffic',
      rate: RATE,
      startTime,
      duration: `${DURATION}s`,
      preAllocatedVUs: 300,
      maxVUs: 1000,
      gracefulStop: '10s',
      env,
      tags: { run },
    };
    if (phase !== 'steady') {
      const exec = FAULTS[phase].changes ? 'change' : 'disturb';
      all[`${name}_cause`] = { executor: 'per-vu-iterations', exec, startTime, maxDuration: '60s', env };
    }
  });
  return all;
}

function thresholds() {
  const all = { checks: ['rate==1.0'], dropped_iterations: ['count==0'] };
  for (const { algorithm, phase, run } of RUNS) {
    all[`http_req_failed{run:${run}}`] = ['rate==0'];
    all[`http_req_duration{run:${run}}`] = ['max>=0'];
    for (const target of TARGETS) {
      const least = phase === 'steady' ? ((RATE * DURATION) / TARGETS.length) * LEAST_SHARE[algorithm] : 0;
      all[`served{run:${run},target:${target}}`] = [`count>=${Math.floor(least)}`];
    }
    if (FAULTS[phase].ejects) {
      all[`ejected{run:${run}}`] = [`max<${EJECTED_WITHIN}`];
      all[`returned{run:${run}}`] = [`max<${RETURNED_WITHIN}`];
    }
  }
  return all;
}

export const options = {
  setupTimeout: '1m',
  // A virtual user is a client, with its cookies.
  noCookiesReset: true,
  summaryTrendStats: ['med', 'p(99)', 'max', 'count'],
  scenarios: scenarios(),
  thresholds: thresholds(),
};

export function setup() {
  const limits = { tcp_failures: 2, timeouts: 2, http_failures: 2 };
  const active = {
    timeout: 1,
    healthy: { interval: 0.5, successes: 2 },
    unhealthy: { interval: 0.5, ...limits },
  };
  const passive = { healthy: { successes: 1 }, unhealthy: { ...limits, http_failures: 3 } };
  for (const algorithm of ALGORITHMS) {
    const hash = algorithm === 'consistent-hashing' ? { hash_on: 'header', hash_on_header: 'x-key' } : {};
    const cookie = algorithm === 'sticky-sessions' ? { sticky_sessions_cookie: 'target' } : {};
    write('PUT', `/upstreams/${algorithm}`, {
      algorithm,
      ...hash,
      ...cookie,
      healthchecks: { active, passive },
      policy: { retry: { statuses: [500] } },
    });
    TARGETS.forEach((target) => write('POST', `/upstreams/${algorithm}/targets`, { target: address(target) }));
    const times = { retries: 5, connect_timeout: 300, read_timeout: 1000, write_timeout: 1000 };
    write('PUT', `/services/${algorithm}`, { host: algorithm, ...times });
    write('PUT', `/routes/${algorithm}`, { paths: [`/${algorithm}`], service: { name: algorithm } });
    until(10000, () => Object.values(health(algorithm)).filter((one) => one === 'HEALTHY').length === TARGETS.length);
    // Until the route has arrived, its path has none.
    const params = { responseCallback: http.expectedStatuses(200, 404) };
    until(5000, () => http.get(`${PROXY}/${algorithm}`, params).status === 200);
  }
}

export function traffic() {
  const { ALGORITHM: algorithm, PHASE: phase } = __ENV;
  // One request in 50 is of a new client.
  if (algorithm === 'sticky-sessions' && Math.random() < 0.02) {
    http.cookieJar().clear(PROXY);
  }
  const headers = { 'X-Key': `${Math.floor(Math.random() * KEYS)}` };
  const response = http.get(`${PROXY}/${algorithm}`, { headers, tags: { name: 'traffic' } });
  check(response, { 'traffic is served': (r) => r.status === 200 });
  served.add(1, { run: `${algorithm}/${phase}`, target: response.headers.Target || 'none' });
}

// Makes targets fail, and lets them return.
export function disturb() {
  const { ALGORITHM: algorithm, PHASE: phase } = __ENV;
  const { count, mode, flaps, ejects } = FAULTS[phase];
  const failing = TARGETS.slice(0, count);
  const tags = { run: `${algorithm}/${phase}` };
  const all = (wanted) => () => {
    const seen = health(algorithm);
    return failing.every((target) => seen[address(target)] === wanted);
  };
  const start = Date.now();
  sleep(FAILS_AFTER);
  become(failing, mode);
  if (ejects) {
    ejected.add(until(EJECTED_WITHIN, all('UNHEALTHY')), tags);
  }
  for (let up = true; flaps && Date.now() - start < RETURNS_AFTER * 1000; up = !up) {
    sleep(0.4);
    become(failing, up ? 'served' : mode);
  }
  sleep(Math.max(0, RETURNS_AFTER - (Date.now() - start) / 1000));
  become(failing, 'served');
  const time = until(RETURNED_WITHIN, all('HEALTHY'));
  if (ejects) {
    returned.add(time, tags);
  }
}

// Adds and removes ten targets a second. Each stays for half a second.
export function change() {
  const { ALGORITHM: algorithm } = __ENV;
  const start = Date.now();
  const [all, stay] = [DURATION * CHANGES, CHANGES / 2];
  for (let n = 0; n < all + stay; n += 1) {
    sleep(Math.max(0, n / CHANGES - (Date.now() - start) / 1000));
    if (n < all) {
      write('POST', `/upstreams/${algorithm}/targets`, { target: address(FURTHER[n % FURTHER.length]) });
    }
    if (n >= stay) {
      write('DELETE', `/upstreams/${algorithm}/targets/${address(FURTHER[(n - stay) % FURTHER.length])}`);
    }
  }
}

export function teardown() {
  become(TARGETS, 'served');
  for (const algorithm of ALGORITHMS) {
    ['routes', 'services', 'upstreams'].forEach((kind) => write('DELETE', `/${kind}/${algorithm}`));
  }
}

function address(target) {
  return `127.0.0.${target}:${PORT}`;
}

function become(targets, mode) {
  targets.forEach((target) => {
    const response = http.put(`http://127.0.0.1:${PORT}/${target}/${mode}`, null, { tags: { name: 'control' } });
    check(response, { 'the target obeys': (r) => r.status === 200 });
  });
}

// The health of each target, as operators see it.
function health(algorithm) {
  const response = http.get(`${ADMIN}/upstreams/${algorithm}/health`, { tags: { name: 'admin' } });
  return Object.fromEntries(response.json('data').map(({ target, health: seen }) => [target, seen]));
}

// Milliseconds until the condition holds.
function until(limit, condition) {
  const start = Date.now();
  while (!condition()) {
    if (Date.now() - start > limit) {
      check(false, { 'the health arrives in time': (arrived) => arrived });
      break;
    }
    sleep(0.02);
  }
  return Date.now() - start;
}

function write(method, path, body) {
  const response = http.request(method, `${ADMIN}${path}`, body && JSON.stringify(body), {
    headers: { 'Content-Type': 'application/json' },
    tags: { name: 'admin' },
  });
  if (!check(response, { 'the write is accepted': (r) => r.status >= 200 && r.status <= 299 })) {
    console.error(`${method} ${path}: ${response.status} ${response.body}`);
  }
}

export function handleSummary({ metrics }) {
  const of = (name) => (metrics[name] ? metrics[name].values : {});
  const rounded = (number, digits) => (number === undefined ? '-' : number.toFixed(digits));
  const rows = RUNS.map(({ algorithm, phase, run }) => {
    const { med, 'p(99)': p99, max, count } = of(`http_req_duration{run:${run}}`);
    const failed = of(`http_req_failed{run:${run}}`).passes;
    const shares = TARGETS.map((target) => (100 * (of(`served{run:${run},target:${target}}`).count || 0)) / count);
    const times = ['ejected', 'returned'].map((name) => rounded(of(`${name}{run:${run}}`).max, 0));
    const latency = [med, p99, max].map((ms) => rounded(ms, 1));
    return [algorithm, phase, count, failed, ...latency, ...times, shares.map((share) => share.toFixed(0)).join(' ')];
  });
  const names = ['algorithm', 'phase', 'requests', 'failed', 'median', 'p99', 'max', 'ejected', 'returned', 'shares'];
  const widths = names.map((name, n) => Math.max(...[names, ...rows].map((row) => String(row[n]).length)) + 2);
  const aligned = (cell, n) => (n < 2 ? `${cell}`.padEnd(widths[n]) : `${cell}`.padStart(widths[n]));
  const line = (row) => row.map(aligned).join('');
  const crossed = Object.entries(metrics).flatMap(([name, { thresholds: limits }]) =>
    Object.entries(limits || {})
      .filter(([, { ok }]) => !ok)
      .map(([limit]) => `crossed: ${name}: ${limit}`),
  );
  const title = `${RATE} requests/s over ${TARGETS.length} targets; milliseconds, and each target's percentage\n`;
  return { stdout: `${title}${[names, ...rows].map(line).concat(crossed).join('\n')}\n` };
}
