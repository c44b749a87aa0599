// What the npm packages hot-shots and statsd-client send. Arguments: UDP port, TCP port.
const { StatsD } = require('hot-shots');
const Client = require('statsd-client');

const [udp, tcp] = process.argv.slice(2).map(Number);
const fail = (error) => {
  console.error(error);
  process.exitCode = 1;
};

const hot = new StatsD({
  host: '127.0.0.1',
  port: udp,
  prefix: 'hot.',
  globalTags: { env: 'test' },
  maxBufferSize: 1000,
  errorHandler: fail,
});
hot.increment('hits');
hot.increment('hits', 4, { page: 'home' });
hot.gauge('load', 0.75);
hot.gaugeDelta('load', 0.5);
hot.timing('wait', 320);
hot.histogram('size', 3);
hot.distribution('spread', 4);
hot.set('users', 'ann');
hot.set('users', 'bob');
hot.event('deployed', 'version 2');
hot.check('db', hot.CHECKS.OK);
hot.close(() => {});

const stream = new StatsD({
  host: '127.0.0.1',
  port: tcp,
  protocol: 'tcp',
  prefix: 'hot.',
  errorHandler: fail,
});
stream.increment('over.tcp', 3);
stream.close(() => {});

const telegraf = new StatsD({
  host: '127.0.0.1',
  port: udp,
  prefix: 'telegraf.',
  telegraf: true,
  globalTags: { env: 'test' },
});
telegraf.increment('hits', 2);
telegraf.close(() => {});

const plain = new Client({ host: '127.0.0.1', port: udp, prefix: 'node', tags: { env: 'test' } });
plain.increment('hits', 2);
plain.gauge('load', 5);
plain.gaugeDelta('load', -2);
plain.timing('wait', 320);
plain.set('users', 7);
plain.close();
