/**
 * A client's session is not believed: whatever it lists and sends stays within the build's own directory, and what it
 * sends too much, too little or out of turn ends the build, not the daemon (CVE-2024-23650, CVE-2026-33747).
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { goMode, packetTypes, receiveFiles } from '../../src/builder/buildkit/session-methods.ts';
import { streaming } from '../../src/pkg/grpc/server.ts';
import type { MessageOf } from '../../src/pkg/protobuf/protobuf.ts';
import { openSession } from '../support/buildkit-client.ts';
import { eventually } from '../support/command.ts';
import { TestDaemon } from '../support/daemon.ts';

let d: TestDaemon;
let canary: string;
beforeAll(async () => {
  d = await TestDaemon.start({ noBridge: true });
  canary = path.join(d.directory, 'canary');
  fs.mkdirSync(canary);
}, 60_000);
afterAll(() => d[Symbol.asyncDispose](), 60_000);

type Packet = Partial<MessageOf<typeof receiveFiles.request>>;
type Stat = NonNullable<MessageOf<typeof receiveFiles.request>['stat']>;

const stat = (name: string, fields: Partial<Stat> = {}): Packet => ({
  type: packetTypes.stat,
  stat: {
    ...{ path: name, mode: 0o644, uid: 0, gid: 0, size: 0, modTime: 0n, linkname: '', devmajor: 0, devminor: 0 },
    xattrs: new Map(),
    ...fields,
  },
});
const listed: Packet = { type: packetTypes.stat };
const content = (id: number, text: string): Packet => ({ type: packetTypes.data, id, data: Buffer.from(text) });

/** A client that sends this for its context, whatever it is asked for; its Dockerfile copies all of it. */
async function buildFrom(packets: readonly Packet[]): Promise<string> {
  const dockerfile = `FROM berth.test/busybox:1\nCOPY . /all/\n`;
  const id = randomUUID();
  const handler = streaming(receiveFiles, async ({ metadata, send, requests }) => {
    const patterns = (metadata.get('include-patterns') ?? '').split('\0');
    if (metadata.get('dir-name') === 'dockerfile') {
      const wanted = patterns.includes('Dockerfile');
      if (wanted) await send(stat('Dockerfile', { size: dockerfile.length }));
      await send(listed);
      for await (const { type } of requests()) {
        if (type === packetTypes.request) for (const part of [dockerfile, '']) await send(content(0, part));
        if (type === packetTypes.end) return send({ type: packetTypes.end });
      }
      return;
    }
    const own = patterns.includes('.dockerignore') ? [listed] : packets;
    for (const packet of own) await send(packet);
    for await (const { type } of requests()) if (type === packetTypes.end) return send({ type: packetTypes.end });
  });
  await using _session = await openSession(d.socket, id, [handler]);
  const target = `http://x/build?version=2&session=${id}&buildid=${id}&remote=client-session`;
  const answered = await fetch(target, { unix: d.socket, method: 'POST' });
  return await answered.text();
}

const directory = (name: string) => stat(name, { mode: goMode.directory + 0o755 });
const link = (name: string, linkname: string) => stat(name, { mode: goMode.symlink + 0o777, linkname });
const temporaries = () => fs.readdirSync(path.join(d.dataRoot, 'builder/tmp'));

/** No build is left, nothing was written outside, the daemon goes on. */
async function allIsWell(): Promise<void> {
  expect(fs.readdirSync(canary)).toEqual([]);
  expect((await d.request('GET', '/_ping')).status).toBe(200);
  await eventually('the files of the build are gone', () => temporaries().length === 0, 30_000);
}

test('an honest client is understood', async () => {
  const parts = [directory('a'), stat('a/f', { size: 3 }), listed, content(1, 'x'), content(1, 'yz'), content(1, '')];
  expect(await buildFrom(parts)).toContain('moby.image.id');
  expect(await buildFrom([directory('a'), stat('a/empty'), link('l', 'a/empty'), listed])).toContain('moby.image.id');
  await allIsWell();
}, 60_000);

test('names that lead outside lead nowhere', async () => {
  const outside = path.relative('/', canary);
  const up = '../'.repeat(20);
  const cases: readonly (readonly Packet[])[] = [
    [stat(`${up}${outside}/planted`), listed],
    [stat(`${canary}/planted`), listed],
    [link('l', canary), stat('l/planted'), listed],
    [link('l', `${up}${outside}`), directory('l/sub'), stat('l/sub/planted'), listed],
    [link('l', canary), stat('h', { linkname: `l/planted` }), listed],
    [stat('h', { linkname: `${up}${outside}/planted` }), listed],
    [stat('h', { linkname: `${up}etc/passwd` }), listed],
    [directory('.'), directory('..'), stat('../planted'), listed],
    [stat('a\0b'), listed],
    [stat(''), listed],
  ];
  for (const packets of cases) {
    const text = await buildFrom(packets);
    // The context was asked for: a build that ends before shows nothing.
    expect(text).not.toContain('failed to read dockerfile');
    expect(text).not.toContain('root:x:0');
    await allIsWell();
  }
}, 120_000);

test('what does not fit together ends the build', async () => {
  const cases: readonly (readonly [readonly Packet[], RegExp])[] = [
    [[content(7, 'x')], /was not asked for/],
    [[listed, stat('a')], /more files than can be/],
    [[{ type: 99 }], /unknown kind/],
    [
      [{ type: packetTypes.error, data: Buffer.from('permission denied on the client') }],
      /permission denied on the client/,
    ],
    [[stat('a', { size: 5 }), { type: packetTypes.end }], /ended before all of its files/],
    [[stat('a', { size: -1 }), listed], /usable name/],
    [[stat('a', { mode: goMode.device + 0o666, devmajor: 1, devminor: 3 }), listed], /./],
  ];
  for (const [packets, expected] of cases) {
    expect(await buildFrom(packets)).toMatch(expected);
    await allIsWell();
  }
}, 120_000);

test('a session that nobody opened, and one of a name that is in use', async () => {
  const answered = await fetch('http://x/build?version=2&session=none&remote=client-session', {
    unix: d.socket,
    method: 'POST',
  });
  expect(await answered.text()).toContain('no active session for none');
  await allIsWell();
}, 60_000);
