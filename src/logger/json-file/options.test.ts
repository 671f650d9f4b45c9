import { describe, expect, test } from 'bun:test';
import type { LogSubject } from '../subject.ts';
import { expandTag } from '../tag.ts';
import { jsonFileTarget, validateJsonFileOptions } from './options.ts';

const subject: LogSubject = {
  containerId: '0123456789abcdef0123',
  containerName: 'proud_rigger',
  imageId: 'sha256:fedcba9876543210',
  imageName: 'busybox:1',
  daemonName: 'docker',
  labels: { role: 'web', 'com.x.team': 'a' },
  env: ['A=1', 'B=x=y', 'C'],
  command: ['sh', '-c', 'echo hi'],
  createdAt: '2026-11-22T17:00:00Z',
};

describe('options', () => {
  test('rotated by default; a size without a number keeps one file, as dockerd', () => {
    const compress = false;
    expect(validateJsonFileOptions({})).toEqual({ maxSizeBytes: 100_000_000, maxFiles: 5, compress });
    expect(validateJsonFileOptions({ 'max-size': '10m' })).toEqual({ maxSizeBytes: 10_000_000, maxFiles: 1, compress });
    expect(validateJsonFileOptions({ 'max-size': '-1' })).toEqual({ maxSizeBytes: -1, maxFiles: 1, compress });
    expect(validateJsonFileOptions({ 'max-size': '1.5kB', 'max-file': '3', compress: 'true' })).toEqual({
      maxSizeBytes: 1500,
      maxFiles: 3,
      compress: true,
    });
  });

  for (const [options, message] of [
    [{ x: '1' }, "unknown log opt 'x' for json-file log driver"],
    [{ 'max-size': 'ten' }, "invalid size: 'ten'"],
    [{ 'max-size': '0' }, 'max-size must be a positive number'],
    [{ 'max-file': '0' }, 'max-file cannot be less than 1'],
    [{ 'max-file': 'x' }, 'strconv.Atoi: parsing "x": invalid syntax'],
    [{ 'max-size': '1m', compress: 'true' }, 'compress cannot be true when max-file is less than 2'],
    [{ compress: 'maybe' }, 'strconv.ParseBool: parsing "maybe": invalid syntax'],
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
  });
});

describe('tag', () => {
  for (const [tag, expected] of [
    ['plain', 'plain'],
    ['{{.DaemonName}}/{{.ImageName}}/{{.FullID}}', 'docker/busybox:1/0123456789abcdef0123'],
    ['{{.Command}}', 'sh -c echo hi'],
    ['{{.Name | upper}}', 'PROUD_RIGGER'],
    ['{{upper .Name}}', 'PROUD_RIGGER'],
    ['{{truncate .Name 5}}!', 'proud!'],
    ['{{index .ContainerLabels "com.x.team"}}', 'a'],
    ['{{.ContainerLabels.role}}', 'web'],
    ['{{index .ContainerLabels "no"}}', ''],
    ['{{join (split .ImageName ":") "-"}}', 'busybox-1'],
    ['{{json .Name}}', '"proud_rigger"'],
    ['{{.ContainerName}} {{.ContainerArgs}}', '/proud_rigger [-c echo hi]'],
  ] as const) {
    test(tag, () => expect(expandTag(tag, subject)).toBe(expected));
  }

  for (const tag of ['{{printf "%s" .ID}}', '{{.Nope}}', '{{if .ID}}x{{end}}', '{{.ID .Name}}', '{{(.ID}}']) {
    test(`refused: ${tag}`, () => expect(() => expandTag(tag, subject)).toThrow('log opt "tag" does not know {{'));
  }
});
