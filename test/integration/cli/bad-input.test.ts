/** Bad input gets a clear error with the right status, and nothing is left half made. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { busyboxEntries, tar, writeArchive } from '../../support/base-images.ts';
import { TestDaemon } from '../../support/daemon.ts';

const IMG = 'berth.test/busybox:1';
let d: TestDaemon;
beforeAll(async () => {
  d = await TestDaemon.start();
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

const cases: readonly { what: string; body: Record<string, unknown>; status: number; message: RegExp }[] = [
  { what: 'unknown image', body: { Image: 'nosuch' }, status: 404, message: /No such image: nosuch:latest/ },
  {
    what: 'no command',
    body: { Image: IMG, Cmd: [], Entrypoint: [''] },
    status: 400,
    message: /no command specified/i,
  },
  {
    what: 'memory',
    body: { HostConfig: { Memory: 1_000_000 } },
    status: 400,
    message: /Minimum memory limit allowed is 6MB/,
  },
  {
    what: 'capability',
    body: { HostConfig: { CapAdd: ['NOSUCH'] } },
    status: 400,
    message: /unknown capability: "CAP_NOSUCH"/,
  },
  { what: 'sysctl', body: { HostConfig: { Sysctls: { 'kernel.panic': '1' } } }, status: 400, message: /kernel\.panic/ },
  {
    what: 'ulimit',
    body: { HostConfig: { Ulimits: [{ Name: 'nosuch', Soft: 1, Hard: 1 }] } },
    status: 400,
    message: /nosuch/,
  },
  {
    what: 'log option',
    body: { HostConfig: { LogConfig: { Type: 'json-file', Config: { nosuch: '1' } } } },
    status: 400,
    message: /unknown log opt 'nosuch' for json-file log driver/,
  },
  { what: 'log driver', body: { HostConfig: { LogConfig: { Type: 'nosuch' } } }, status: 400, message: /nosuch/ },
  {
    what: 'bind source',
    body: { HostConfig: { Mounts: [{ Type: 'bind', Source: '/nosuch/x', Target: '/x' }] } },
    status: 400,
    message: /bind source path does not exist: \/nosuch\/x/,
  },
  {
    what: 'bind spec',
    body: { HostConfig: { Binds: ['/a:/b:/c:/d'] } },
    status: 400,
    message: /invalid volume specification/,
  },
  {
    what: 'restart policy',
    body: { HostConfig: { RestartPolicy: { Name: 'nosuch' } } },
    status: 400,
    message: /invalid restart policy/,
  },
  { what: 'working directory', body: { WorkingDir: 'relative' }, status: 400, message: /needs to be an absolute path/ },
  { what: 'wrong type', body: { Cmd: 5 }, status: 400, message: /Cmd/ },
  { what: 'ipc mode', body: { HostConfig: { IpcMode: 'nosuch' } }, status: 400, message: /IPC/i },
  {
    what: 'a field that is not there yet',
    body: { HostConfig: { Cgroup: 'container:x' } },
    status: 501,
    message: /Cgroup is not supported/,
  },
];

for (const c of cases)
  test(`create refuses: ${c.what}`, async () => {
    const r = await d.request('POST', '/containers/create', { Image: IMG, Cmd: ['true'], ...c.body });
    expect(String(Reflect.get(Object(r.body), 'message'))).toMatch(c.message);
    expect(r.status).toBe(c.status);
    expect(await d.must(['ps', '-aq'])).toBe('');
  });

test('a name that is taken is a conflict, a bad one is refused', async () => {
  const body = { Image: IMG, Cmd: ['true'] };
  const first = await d.request('POST', '/containers/create?name=taken', body);
  expect(first.status).toBe(201);
  const second = await d.request('POST', '/containers/create?name=taken', body);
  expect(second.status).toBe(409);
  expect(String(Reflect.get(Object(second.body), 'message'))).toMatch(
    /^Conflict\. The container name "\/taken" is already in use by container "[0-9a-f]{64}"\./,
  );
  expect((await d.request('POST', '/containers/create?name=-bad', body)).status).toBe(400);
  expect((await d.request('DELETE', '/containers/taken')).status).toBe(204);
});

test('JSON errors name what is wrong, as dockerd’s', async () => {
  const post = async (body: string, type = 'application/json'): Promise<[number, string]> => {
    const r = await fetch('http://berth/containers/create', {
      unix: d.socket,
      method: 'POST',
      body,
      headers: { 'Content-Type': type },
    });
    return [r.status, String(Reflect.get(Object(await r.json()), 'message'))];
  };
  expect(await post('{x', 'application/json')).toEqual([
    400,
    "invalid JSON: invalid character 'x' looking for beginning of object key string",
  ]);
  expect(await post('{}', 'text/plain')).toEqual([
    400,
    "unsupported Content-Type header (text/plain): must be 'application/json'",
  ]);
  expect(await post('{} {}')).toEqual([400, 'unexpected content after JSON']);
});

test('versions out of range', async () => {
  expect((await d.request('GET', '/v1.99/_ping')).body).toMatchObject({
    message: 'client version 1.99 is too new. Maximum supported API version is 1.51',
  });
  expect((await d.request('GET', '/v1.10/containers/json')).body).toMatchObject({
    message:
      'client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version',
  });
});

test('a root file system whose /dev, /proc or /etc leads elsewhere: nothing outside is touched', async () => {
  const outside = path.join(d.directory, 'outside');
  fs.mkdirSync(outside);
  const entries = busyboxEntries(['sh', 'true', 'echo', 'ls']);
  for (const name of ['dev', 'proc', 'sys', 'etc']) {
    const layer = tar([
      ...entries.filter((e) => !e.name.startsWith(name)),
      { name, type: '2', mode: 0o777, link: outside },
    ]);
    const archive = writeArchive(`link-${name}-${process.pid}.tar`, {
      reference: `berth.test/link-${name}:1`,
      layers: [layer],
    });
    await d.must(['load', '-q', '-i', archive.path]);
    const r = await d.docker(['run', '--rm', '--network', 'none', `berth.test/link-${name}:1`, 'true']);
    if (name !== 'etc') expect([name, r.code === 0]).toEqual([name, false]);
    expect(fs.readdirSync(outside)).toEqual([]);
    await d.must(['rmi', '-f', `berth.test/link-${name}:1`]);
    fs.rmSync(archive.path);
  }
});

test('WORKDIR through /proc/self/fd is always an error', async () => {
  for (const n of [3, 4, 5, 6, 7, 8, 9, 10, 20, 63]) {
    const r = await d.docker(['run', '--rm', '--network', 'none', '-w', `/proc/self/fd/${n}`, IMG, 'pwd']);
    expect([n, r.code === 0, r.stdout]).toEqual([n, false, '']);
  }
});

test('users out of range and missing ones', async () => {
  for (const user of ['4294967296', '-1', '99999999999999999999', 'nosuch', '1000:nosuch']) {
    const r = await d.docker(['run', '--rm', '--network', 'none', '-u', user, IMG, 'id']);
    expect([user, r.code]).toEqual([user, 125]);
  }
  expect(await d.must(['run', '--rm', '--network', 'none', '-u', '54321', IMG, 'id', '-u'])).toBe('54321');
});

test('/proc/self/exe as the program is not ours', async () => {
  const r = await d.docker(['run', '--rm', '--network', 'none', IMG, '/proc/self/exe', 'true']);
  expect(r.stdout).toBe('');
  const bun = fs.statSync(process.execPath);
  expect(fs.statSync(process.execPath).mtimeMs).toBe(bun.mtimeMs);
});

test('a client that stops reading does not stop the daemon', async () => {
  const id = await d.must(['run', '-d', '--network', 'none', IMG, 'sh', '-c', 'yes']);
  const stalled = await fetch(`http://berth/containers/${id}/logs?stdout=1&follow=1`, { unix: d.socket });
  expect(stalled.status).toBe(200);
  expect((await d.request('GET', '/_ping')).status).toBe(200);
  expect(await d.must(['run', '--rm', '--network', 'none', IMG, 'echo', 'works'])).toBe('works');
  await stalled.body?.cancel();
  await d.must(['rm', '-f', id]);
});
