// What tests/k6.rs runs: two pages, one of them slow, one error, a check that fails, iterations that
// find no virtual user.
import http from 'k6/http';
import { check, group, sleep } from 'k6';

const seconds = 6;

export const options = {
  scenarios: {
    browse: { executor: 'constant-vus', vus: 2, duration: `${seconds}s`, exec: 'browse' },
    order: {
      executor: 'constant-arrival-rate',
      rate: 20,
      timeUnit: '1s',
      duration: `${seconds}s`,
      preAllocatedVUs: 1,
      maxVUs: 1,
      exec: 'order',
    },
  },
};

export function browse() {
  group('shop', () => {
    const page = http.get(`${__ENV.BASE}/front?visit=${__ITER}`, { tags: { name: 'front page' } });
    check(page, {
      'status is 200': (page) => page.status === 200,
      'v1.2 is out': (page) => page.body.includes('v1.2'),
    });
    http.get(`${__ENV.BASE}/slow`, { tags: { name: 'slow page' } });
  });
  sleep(0.1);
}

export function order() {
  http.post(`${__ENV.BASE}/order`, 'one of it', { tags: { name: 'order' } });
  sleep(0.1);
}
