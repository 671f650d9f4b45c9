import { expect, test } from 'bun:test';
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { binaryOf, ensureDefaultProfile, execLabel, profileNames } from './apparmor.ts';
import { defaultProfileText } from './profile.ts';

const absent = { enabled: false, parser: undefined };

test('a host without AppArmor gives no label, and says why', async () => {
  const run = async (): Promise<Uint8Array> => expect.unreachable();
  expect(await ensureDefaultProfile({ host: absent, cacheDirectory: '/nowhere', run })).toBe(
    'this host has no AppArmor',
  );
  expect(execLabel('', absent)).toBeUndefined();
  expect(execLabel('unconfined', absent)).toBeUndefined();
  expect(() => execLabel('berth-default', absent)).toThrow('Cannot use AppArmor profile "berth-default"');
});

test('names of loaded profiles', () => {
  expect([...profileNames('berth-default (enforce)\n/usr/bin/man (complain)\nlsb_release//child (enforce)\n')]).toEqual(
    ['berth-default', '/usr/bin/man', 'lsb_release//child'],
  );
});

test('the profile fits what the host has', () => {
  const full = defaultProfileText({ daemonLabel: 'berthd', has: () => true });
  expect(full).toStartWith('abi <abi/3.0>,\n#include <tunables/global>\n');
  expect(full).toContain('signal (receive) peer=berthd,');
  const bare = defaultProfileText({ daemonLabel: 'unconfined', has: () => false });
  expect(bare).toStartWith('@{PROC}=/proc/\n');
  expect(bare).not.toContain('include');
  for (const text of [full, bare]) {
    for (const line of [
      'deny network alg,',
      'deny mount,',
      'ptrace (trace,read,tracedby,readby) peer=berth-default,',
    ]) {
      expect(text).toContain(`  ${line}\n`);
    }
  }
});

test('the parser runs once for a text', async () => {
  const directory = mkdtempSync(`${tmpdir()}/berth-apparmor-`);
  try {
    let runs = 0;
    const run = async () => Uint8Array.of(1, 2, ++runs);
    const request = { parser: '/proc/self/exe', cacheDirectory: `${directory}/cache`, run };
    expect([...(await binaryOf({ ...request, text: 'a' }))]).toEqual([1, 2, 1]);
    expect([...(await binaryOf({ ...request, text: 'a' }))]).toEqual([1, 2, 1]);
    expect([...(await binaryOf({ ...request, text: 'b' }))]).toEqual([1, 2, 2]);
    expect(readdirSync(`${directory}/cache`).length).toBe(2);
    expect(statSync(`${directory}/cache`).mode & 0o777).toBe(0o700);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

/** Where the host has the parser: it accepts the profile in both forms. It needs no AppArmor in the kernel for that. */
const parser = process.env['BERTH_APPARMOR_PARSER'] ?? '/sbin/apparmor_parser';
const base = process.env['BERTH_APPARMOR_BASE'] ?? '/etc/apparmor.d';

test.if(existsSync(parser))('the parser accepts the profile', () => {
  for (const has of [(name: string) => existsSync(`${base}/${name}`), () => false]) {
    const input = Buffer.from(defaultProfileText({ daemonLabel: 'unconfined', has }));
    const done = Bun.spawnSync([parser, '--base', base, '-S', '-Q', '-K'], { stdin: input });
    expect(done.stderr.toString()).not.toContain('error');
    expect(done.exitCode).toBe(0);
    expect(done.stdout.length).toBeGreaterThan(1000);
  }
});
