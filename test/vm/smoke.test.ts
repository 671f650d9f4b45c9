/**
 * One boot of Debian with systemd, cgroup v2 and AppArmor: the executable as a service, the stock docker CLI against it.
 * A machine that does not boot is a failure.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { bootInstalled, IMG, shell } from './installed.ts';
import type { GuestResult, Machine } from './machine.ts';

let vm: Machine;
let docker: (line: string, limitMs?: number) => Promise<GuestResult>;

beforeAll(async () => {
  vm = await bootInstalled('plain');
  docker = shell(vm);
}, 900_000);
afterAll(async () => {
  await vm?.[Symbol.asyncDispose]();
}, 60_000);

test('run on cgroup v2: output and exit code', async () => {
  expect(await docker(`docker run --rm --network none ${IMG} sh -c 'echo hello; exit 7'`)).toEqual({
    code: 7,
    output: 'hello\n',
  });
}, 180_000);

test('info tells cgroup v2, AppArmor and seccomp', async () => {
  const r = await docker('docker info');
  expect(r.output).toContain('Cgroup Version: 2');
  expect(r.output).toContain('apparmor');
  expect(r.output).toContain('seccomp');
}, 180_000);

test('memory: the limit stands in the group and the kernel enforces it', async () => {
  const r = await docker(
    `docker run --name hog --network none --memory 16m ${IMG} sh -c 'cat /sys/fs/cgroup/memory.max; x=a; while :; do x=$x$x; done'; echo code $?; docker inspect -f '{{.State.OOMKilled}}' hog; docker rm hog`,
  );
  expect(r.output).toContain('16777216');
  expect(r.output).toContain('code 137');
  expect(r.output).toContain('true');
}, 180_000);

test('cpu and pids limits', async () => {
  const r = await docker(
    `docker run --rm --network none --cpus 0.5 --pids-limit 17 ${IMG} cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max`,
  );
  expect(r.output).toBe('50000 100000\n17\n');
}, 180_000);

test('a device that was not given is refused (eBPF), one that was given works', async () => {
  const refused = await docker(`docker run --rm --network none ${IMG} sh -c 'mknod /kmsg c 1 11 && head -c 1 /kmsg'`);
  expect(refused.code).not.toBe(0);
  expect(refused.output).toContain('Operation not permitted');
  const given = await docker(
    `docker run --rm --network none --device /dev/vda:/dev/disk:r ${IMG} sh -c 'head -c 1 /dev/disk | wc -c; echo x > /dev/disk'`,
  );
  expect(given.output).toStartWith('1\n');
  expect(given.output).toContain('Operation not permitted');
}, 180_000);

test('the AppArmor label is ours and enforced; unconfined when asked', async () => {
  expect((await docker(`docker run --rm --network none ${IMG} cat /proc/self/attr/current`)).output.trim()).toBe(
    'berth-default (enforce)',
  );
  expect(
    (
      await docker(
        `docker run --rm --network none --security-opt apparmor=unconfined ${IMG} cat /proc/self/attr/current`,
      )
    ).output.trim(),
  ).toBe('unconfined');
}, 180_000);

test('exec joins the container, its group included', async () => {
  const r = await docker(
    `docker run -d --name keep --restart always ${IMG} sh -c 'trap "echo stopped politely; exit 0" TERM; while :; do sleep 0.2; done' >/dev/null; docker exec keep sh -c 'hostname; cat /proc/self/cgroup; ip -4 addr show eth0 | grep -c inet'`,
  );
  expect(r.output).toContain('0::/\n');
  expect(r.output.trim().endsWith('1')).toBe(true);
}, 180_000);

test('kill -9 of the daemon: systemd starts it again, the container went on', async () => {
  const before = (await docker("docker inspect -f '{{.State.Pid}}' keep")).output;
  await vm.must(
    'systemctl kill -s KILL berth.service; for i in $(seq 100); do sleep 0.2; systemctl is-active -q berth.service && break; done',
  );
  expect((await docker("docker inspect -f '{{.State.Pid}}' keep", 60_000)).output).toBe(before);
}, 180_000);

test('systemctl restart berth leaves containers running', async () => {
  const before = (await docker("docker inspect -f '{{.State.Pid}}' keep")).output;
  await vm.must('systemctl restart berth.service', 120_000);
  expect((await docker("docker inspect -f '{{.State.Pid}}' keep", 60_000)).output).toBe(before);
}, 180_000);

test('daemon-reload keeps the limits', async () => {
  await docker(`docker run -d --name limited --network none --memory 32m ${IMG} sleep 1000`);
  await vm.must('systemctl daemon-reload');
  expect((await docker('docker exec limited cat /sys/fs/cgroup/memory.max')).output.trim()).toBe('33554432');
  await docker('docker rm -f limited');
}, 180_000);

test('reboot: containers are stopped by their stop signal, and come back by their policy', async () => {
  await vm.reboot();
  const r = await docker(
    "for i in $(seq 50); do docker inspect -f '{{.State.Running}}' keep 2>/dev/null | grep -q true && break; sleep 0.3; done; docker inspect -f '{{.State.Running}}' keep; docker logs keep",
    120_000,
  );
  expect(r.output).toContain('true');
  expect(r.output).toContain('stopped politely');
}, 400_000);

test('after stop and rm nothing is left: groups, links, mounts', async () => {
  const r = await docker(
    "docker rm -f keep >/dev/null; sleep 1; find /sys/fs/cgroup -path '*berth*' -type d | grep -E '[0-9a-f]{64}'; ls /sys/class/net | grep -v -E '^(lo|berth0|sit0)$'; grep overlay /proc/mounts; echo end",
  );
  expect(r.output).toBe('end\n');
}, 180_000);
