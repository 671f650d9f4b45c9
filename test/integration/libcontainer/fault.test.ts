/**
 * Every step of a start fails once. Whatever it is, the start tells it, the child is gone, and neither a descriptor nor a
 * mount nor a cgroup stays.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import { StartError } from '#libcontainer/explain.ts';
import { Bench, hostFacts, specOf } from './bench.ts';

let bench: Bench;
beforeAll(async () => {
  bench = new Bench();
  await bench.run(['true']);
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});

const spec = () =>
  specOf(['/bin/sleep', '60'], {
    process: { noNewPrivileges: true },
    linux: { sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' } },
  });

async function steps(): Promise<number> {
  let count = 0;
  await using _container = bench.start(spec(), (prepared) => {
    count = prepared.program.steps.length;
  });
  return count;
}

test('the k-th step of a start fails, for every k', async () => {
  const count = await steps();
  const before = hostFacts();
  expect(count).toBeGreaterThan(100);
  for (let k = 0; k < count; k++) {
    let name = '';
    await using container = bench.start(spec(), (prepared) => {
      name = prepared.program.steps[k]?.name ?? '';
      prepared.program.failAt(k);
    });
    const { pid } = container;
    const { error } = container.end();
    expect([k, name, error instanceof StartError]).toEqual([k, name, true]);
    expect(fs.existsSync(`/proc/${pid}`)).toBe(false);
  }
  expect(hostFacts()).toEqual(before);
  console.log(`${count} steps failed`);
}, 120_000);

test('the k-th step of an exec fails, for every k', async () => {
  await using container = bench.start(specOf(['/bin/sleep', '600']));
  const process = { args: ['/bin/sleep', '60'], noNewPrivileges: true };
  let count = 0;
  bench.exec(container, { args: ['/bin/true'] }, (program) => {
    count = program.steps.length;
  });
  const before = hostFacts();
  expect(count).toBeGreaterThan(40);
  for (let k = 0; k < count; k++) {
    let name = '';
    const { error } = bench.exec(container, process, (program) => {
      name = program.steps[k]?.name ?? '';
      program.failAt(k);
    });
    expect([k, name, error instanceof StartError]).toEqual([k, name, true]);
    expect([k, name, container.cgroup.pids()]).toEqual([k, name, [container.pid]]);
  }
  expect(hostFacts()).toEqual(before);
  console.log(`${count} steps failed`);
}, 60_000);

test('a start that fails outside leaves nothing', async () => {
  const before = hostFacts();
  const bad = [
    { mounts: [{ destination: '/v', type: 'bind', source: '/nonesuch' }] },
    { mounts: [{ destination: '/etc/passwd', type: 'tmpfs' }] },
    { process: { user: { uid: 0, gid: 0, username: 'eve' } } },
    { process: { cwd: '/etc/passwd' } },
    { process: { args: [] } },
    { process: { capabilities: { bounding: ['CAP_X'] } } },
    { process: { terminal: true, cwd: '/etc/passwd' } },
    { linux: { sysctl: { 'kernel.panic': '1' } } },
    { linux: { devices: [{ path: '/dev/x', type: 'z' }] } },
    { linux: { maskedPaths: ['/dev/mqueue/x'] } },
  ];
  for (const changes of bad) expect(() => bench.start(specOf(['true'], changes))).toThrow();
  // The cgroups of these are removed behind.
  await Bun.sleep(100);
  expect(hostFacts()).toEqual(before);
});
