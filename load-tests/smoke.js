// 500 requests/s for 30 s through a data plane, while the very route that serves them changes each second
// through the Admin API. No request may fail, and each change must arrive.
//
// Set by --env: ADMIN and PROXY (URLs), ORIGIN_PORT (of an origin on 127.0.0.1), DURATION (30s).

import http from 'k6/http';
import { check, fail, sleep } from 'k6';
import { Trend } from 'k6/metrics';

const ADMIN = __ENV.ADMIN || 'http://127.0.0.1:8001';
const PROXY = __ENV.PROXY || 'http://127.0.0.1:8000';
const ORIGIN_PORT = Number(__ENV.ORIGIN_PORT || 9000);
const DURATION = __ENV.DURATION || '30s';

// The time from the Admin API's answer to the first request that the change serves.
const arrival = new Trend('change_arrival', true);

export const options = {
  scenarios: {
    traffic: {
      executor: 'constant-arrival-rate',
      exec: 'traffic',
      rate: 500,
      timeUnit: '1s',
      duration: DURATION,
      preAllocatedVUs: 200,
      maxVUs: 500,
    },
    changes: {
      executor: 'constant-arrival-rate',
      exec: 'change',
      rate: 1,
      timeUnit: '1s',
      duration: DURATION,
      preAllocatedVUs: 2,
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    checks: ['rate==1.0'],
    // If the load were not reached, the rest would prove nothing.
    dropped_iterations: ['count==0'],
    'http_req_duration{scenario:traffic}': ['p(99)<250'],
    change_arrival: ['max<1000'],
  },
};

export function setup() {
  const name = `smoke-${Date.now()}`;
  write('POST', '/services', { name, host: '127.0.0.1', port: ORIGIN_PORT });
  write('POST', `/services/${name}/routes`, { name, paths: [`/${name}`] });
  await200(`/${name}`, 5000);
  return { name };
}

export function traffic({ name }) {
  const response = http.get(`${PROXY}/${name}/get?a=1`, { tags: { name: 'traffic' } });
  check(response, { 'traffic is served': (r) => r.status === 200 });
}

export function change({ name }) {
  const path = `/${name}-${__ITER}-${__VU}`;
  const written = write('PATCH', `/routes/${name}`, { paths: [`/${name}`, path] });
  const start = Date.now();
  const arrived = await200(path, 2000);
  arrival.add(Date.now() - start);
  check(written, { 'the change is accepted': (r) => r.status === 200 });
  check(arrived, { 'the change arrives': (a) => a });
}

export function teardown({ name }) {
  write('DELETE', `/routes/${name}`);
  write('DELETE', `/services/${name}`);
}

function write(method, path, body) {
  const response = http.request(method, `${ADMIN}${path}`, body && JSON.stringify(body), {
    headers: { 'Content-Type': 'application/json' },
    tags: { name: 'admin' },
  });
  if (response.status < 200 || response.status > 299) {
    fail(`${method} ${path}: ${response.status} ${response.body}`);
  }
  return response;
}

// Until the change arrives, its path has no route: 404 is expected, anything else is a failure.
function await200(path, milliseconds) {
  const params = { responseCallback: http.expectedStatuses(200, 404), tags: { name: 'arrival' } };
  for (const end = Date.now() + milliseconds; Date.now() < end; sleep(0.002)) {
    const { status } = http.get(`${PROXY}${path}`, params);
    if (status !== 404) {
      return status === 200;
    }
  }
  return false;
}
