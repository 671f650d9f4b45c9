import { describe, expect, test } from 'bun:test';
import { type LogConfig, logTarget, validateLogConfig } from './log-target.ts';

const check = (type: string, options: Record<string, string> = {}) => validateLogConfig({ type, options });

describe('validateLogConfig', () => {
  test('what dockerd accepts', () => {
    check('none', { 'max-size': '1m' });
    check('', { mode: 'non-blocking', 'max-buffer-size': '4m' });
    check('local', { 'max-size': '5m', 'max-file': '2', compress: 'false' });
    check('syslog');
    check('syslog', { 'syslog-address': 'tcp+tls://logs.example:6514', 'syslog-format': 'rfc5424micro' });
    check('syslog', { 'syslog-address': 'udp://[::1]', 'syslog-facility': 'local7', tag: '{{.Name}}' });
    check('gelf', { 'gelf-address': 'udp://h:12201', 'gelf-compression-type': 'zlib', 'gelf-compression-level': '-1' });
    check('gelf', { 'gelf-address': 'tcp://h:12201', 'gelf-tcp-max-reconnect': '5', 'gelf-tcp-reconnect-delay': '2' });
    check('fluentd', { 'fluentd-address': 'unix:///x.sock', 'fluentd-async': 'true', 'fluentd-buffer-limit': '8MB' });
    check('journald', { tag: 'x', 'cache-disabled': 'true', 'cache-max-size': '1m' });
  });

  for (const [type, options, message] of [
    ['x', {}, 'error looking up logging plugin x: plugin "x" not found'],
    ['awslogs', {}, 'log driver "awslogs" is not supported'],
    ['gcplogs', {}, 'log driver "gcplogs" is not supported'],
    ['splunk', { 'splunk-url': 'x' }, 'log driver "splunk" is not supported'],
    ['json-file', { mode: 'x' }, 'logger: logging mode not supported: x'],
    ['json-file', { 'max-buffer-size': '1m' }, "max-buffer-size option is only supported with 'mode=non-blocking'"],
    ['json-file', { mode: 'non-blocking', 'max-buffer-size': 'q' }, 'error parsing option max-buffer-size'],
    ['json-file', { 'cache-disabled': 'perhaps' }, 'invalid value for option cache-disabled: perhaps'],
    ['json-file', { tag: '{{.Nope}}' }, 'log opt "tag" does not know {{.Nope}}'],
    ['local', { labels: 'x' }, "unknown log opt 'labels' for log driver local"],
    ['local', { 'max-size': 'q' }, 'invalid value for max-size: q'],
    ['local', { 'max-file': '1' }, 'compression cannot be enabled when max file count is 1'],
    ['syslog', { x: '1' }, "unknown log opt 'x' for syslog log driver"],
    ['syslog', { 'syslog-address': 'http://x' }, "unsupported scheme: 'http'"],
    ['syslog', { 'syslog-address': 'unix:///no/such' }, 'stat /no/such: no such file or directory'],
    ['syslog', { 'syslog-facility': 'x' }, 'invalid syslog facility'],
    ['syslog', { 'syslog-format': 'x' }, 'Invalid syslog format'],
    ['gelf', {}, 'gelf-address is a required parameter'],
    ['gelf', { 'gelf-address': 'udp://h' }, 'gelf: please provide gelf-address as proto://host:port'],
    ['gelf', { 'gelf-address': 'unix:///x' }, 'gelf: endpoint needs to be TCP or UDP'],
    ['gelf', { 'gelf-address': 'tcp://h:1', 'gelf-compression-type': 'gzip' }, 'compression is only supported on UDP'],
    ['gelf', { 'gelf-address': 'udp://h:1', 'gelf-compression-level': '10' }, 'unknown value "10" for log opt'],
    ['gelf', { 'gelf-address': 'udp://h:1', 'gelf-tcp-max-reconnect': '1' }, 'is only valid for TCP'],
    ['gelf', { 'gelf-address': 'udp://h:1', x: '1' }, 'unknown log opt "x" for gelf log driver'],
    ['fluentd', { x: '1' }, "unknown log opt 'x' for fluentd log driver"],
    ['fluentd', { 'fluentd-address': 'ftp://x' }, 'invalid fluentd-address ftp://x'],
    ['fluentd', { 'fluentd-retry-wait': 'x' }, 'invalid value for fluentd-retry-wait'],
    ['journald', { x: '1' }, "unknown log opt 'x' for journald log driver"],
  ] as const) {
    test(`${type} ${JSON.stringify(options)}`, () => expect(() => check(type, options)).toThrow(message));
  }
});

test('the target of a remote driver: its cache, its tag, its attributes', () => {
  const config: LogConfig = {
    type: 'syslog',
    options: { 'syslog-address': 'tcp://h:1', tag: '{{.Name}}', labels: 'role', 'cache-max-file': '3' },
  };
  const subject = {
    containerId: 'c'.repeat(64),
    containerName: 'web',
    imageId: 'sha256:1',
    imageName: 'i',
    daemonName: 'docker',
    labels: { role: 'front' },
    env: [],
    command: ['x'],
    createdAt: '',
  };
  const target = logTarget(config, '/d', subject);
  expect(target).toMatchObject({ driver: 'local', path: '/d/container-cached.log', maxFiles: 3, readable: true });
  expect(target?.remote).toMatchObject({ blocking: true, bufferBytesMax: 3 * 20 * 1024 * 1024 });
  expect(target?.remote?.identity).toMatchObject({ tag: 'web', attributes: { role: 'front' } });
  const ring = logTarget({ ...config, options: { mode: 'non-blocking', 'cache-disabled': 'true' } }, '/d', subject);
  expect(ring).toMatchObject({ readable: false, remote: { blocking: false, bufferBytesMax: 1 << 20 } });
  expect(logTarget({ type: 'none', options: {} }, '/d', subject)).toBeUndefined();
});
