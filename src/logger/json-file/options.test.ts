import { describe, expect, test } from 'bun:test';
import { validateLogConfig } from '../log-target.ts';
import { jsonFileTarget, type LogSubject, validateJsonFileOptions } from './options.ts';

const subject: LogSubject = {
  containerId: '0123456789abcdef0123',
  containerName: 'proud_rigger',
  imageId: 'sha256:fedcba9876543210',
  imageName: 'busybox:1',
  daemonName: 'berth',
  labels: { role: 'web', 'com.x.team': 'a' },
  env: ['A=1', 'B=x=y', 'C'],
};

describe('options', () => {
  test('rotated by default; a size without a number keeps one file, as dockerd', () => {
    expect(validateJsonFileOptions({})).toEqual({ maxSizeBytes: 100_000_000, maxFiles: 5 });
    expect(validateJsonFileOptions({ 'max-size': '10m' })).toEqual({ maxSizeBytes: 10_000_000, maxFiles: 1 });
    expect(validateJsonFileOptions({ 'max-size': '-1' })).toEqual({ maxSizeBytes: -1, maxFiles: 1 });
    expect(
      validateJsonFileOptions({ 'max-size': '1.5kB', 'max-file': '3', mode: 'blocking', compress: 'false' }),
    ).toEqual({
      maxSizeBytes: 1500,
      maxFiles: 3,
    });
  });

  for (const [options, message] of [
    [{ x: '1' }, "unknown log opt 'x' for json-file log driver"],
    [{ 'max-size': 'ten' }, "invalid size: 'ten'"],
    [{ 'max-size': '0' }, 'max-size must be a positive number'],
    [{ 'max-file': '0' }, 'max-file cannot be less than 1'],
    [{ 'max-file': 'x' }, 'strconv.Atoi: parsing "x": invalid syntax'],
    [{ compress: 'true' }, 'log opt "compress" is not supported yet'],
    [{ compress: 'maybe' }, 'strconv.ParseBool: parsing "maybe": invalid syntax'],
    [{ mode: 'non-blocking' }, 'log opt "mode=non-blocking" is not supported yet'],
    [{ mode: 'x' }, 'logger: logging mode not supported: x'],
    [{ 'labels-regex': '(' }, 'error parsing regexp of log opt "labels-regex": ('],
  ] as const) {
    test(JSON.stringify(options), () => expect(() => validateJsonFileOptions(options)).toThrow(message));
  }

  test('attributes are chosen by name and expression, sorted', () => {
    const options = { labels: 'role,none', 'labels-regex': '^com', env: 'B', tag: '{{.Name}}/{{ .ID }}/{{.ImageID}}' };
    expect(jsonFileTarget('/x', options, subject).attrs).toBe(
      '{"B":"x=y","com.x.team":"a","role":"web","tag":"proud_rigger/0123456789ab/fedcba987654"}',
    );
    expect(jsonFileTarget('/x', {}, subject).attrs).toBe('');
    expect(() => jsonFileTarget('/x', { tag: '{{printf 1}}' }, subject)).toThrow('does not know {{printf 1}}');
  });

  test('drivers', () => {
    validateLogConfig({ type: 'none', options: { 'max-size': '1m' } });
    expect(() => validateLogConfig({ type: 'syslog', options: {} })).toThrow(
      'log driver "syslog" is not supported yet',
    );
    expect(() => validateLogConfig({ type: 'x', options: {} })).toThrow(
      "logger: no log driver named 'x' is registered",
    );
  });
});
