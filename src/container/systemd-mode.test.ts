import { expect, test } from 'bun:test';
import { withSystemdMode } from './systemd-mode.ts';
import { emptyConfig, stockHostConfig } from './testing/stock.ts';

const id = 'ab'.repeat(32);
const of = (
  word: string | undefined,
  config: Partial<typeof emptyConfig> = {},
  host: Partial<typeof stockHostConfig> = {},
) =>
  withSystemdMode({
    asked: word === undefined ? null : { 'berth.systemd': word },
    config: { ...emptyConfig, Cmd: ['sh'], ...config },
    host: { ...stockHostConfig, ...host },
    id,
  });

test('who is in systemd mode', () => {
  const cases: [word: string | undefined, command: string, yes: boolean][] = [
    [undefined, '/sbin/init', false],
    ['false', '/sbin/init', false],
    ['true', '/sbin/init', true],
    ['true', '/usr/sbin/init', true],
    ['true', '/lib/systemd/systemd', true],
    ['true', 'systemd', true],
    ['true', '/init', false],
    ['true', 'sh', false],
    ['always', 'sh', true],
  ];
  for (const [word, command, yes] of cases) {
    const { host } = of(word, { Cmd: [command, 'x'] });
    expect([word, command, host.CgroupnsMode === 'private']).toEqual([word, command, yes]);
  }
  expect(() => of('yes')).toThrow('invalid label berth.systemd=yes: it must be one of true, false, always');
});

test('what it is given, and what the user says wins', () => {
  const { config, host } = of('always');
  expect(config.StopSignal).toBe('SIGRTMIN+3');
  expect(config.Env).toEqual(['container=oci', `container_uuid=${'ab'.repeat(16)}`]);
  expect(Object.keys(host.Tmpfs ?? {})).toEqual(['/run', '/run/lock', '/tmp', '/var/log/journal']);
  expect(host.SecurityOpt).toContain('writable-cgroups=true');
  const own = of(
    'always',
    { StopSignal: 'SIGINT', Env: ['container=mine'] },
    { Tmpfs: { '/run': 'size=1m' }, Binds: ['/x:/tmp'], SecurityOpt: ['writable-cgroups=false'] },
  );
  expect(own.config.StopSignal).toBe('SIGINT');
  expect(own.config.Env).toEqual(['container=mine', `container_uuid=${'ab'.repeat(16)}`]);
  expect(own.host.Tmpfs).toEqual({ '/run/lock': 'rw,mode=1777', '/var/log/journal': 'rw,mode=755', '/run': 'size=1m' });
  expect(own.host.SecurityOpt).toEqual(['writable-cgroups=false']);
  expect(() => of('always', {}, { CgroupnsMode: 'host' })).toThrow('cgroup namespace');
});
