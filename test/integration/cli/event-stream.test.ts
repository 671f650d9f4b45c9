/**
 * What each command tells, as dockerd 28.5.2 does (recorded from it): actions and attributes in their order. Where several
 * volumes are concerned dockerd's order is random; here there is one.
 */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { eventually } from '../../support/command.ts';
import { TestDaemon } from '../../support/daemon.ts';
import { TestRegistry } from '../../support/registry.ts';

const IMG = 'berth.test/busybox:1';
const MARK = 'end-of-step-';

let daemon: TestDaemon;
let registry: TestRegistry;
const following = new AbortController();
/** `type action id {attributes}`; ids of 64 digits as `#`. */
const lines: string[] = [];
let marks = 0;

beforeAll(async () => {
  [daemon, registry] = await Promise.all([TestDaemon.start({ noBridge: true }), TestRegistry.start()]);
  const response = await fetch('http://berth/events', { unix: daemon.socket, signal: following.signal });
  void follow(response).catch(() => undefined);
  await eventually('the stream is open', async () => {
    await daemon.request('POST', '/volumes/create', { Name: `${MARK}${marks++}` });
    return lines.length > 0;
  });
}, 120_000);
afterAll(async () => {
  following.abort();
  await Promise.all([daemon, registry].map((one) => one?.[Symbol.asyncDispose]()));
}, 120_000);

async function follow(response: Response): Promise<void> {
  let rest = '';
  const decoder = new TextDecoder();
  // as: the type of an asynchronous iteration over a body says nothing of its parts.
  for await (const part of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    const texts = (rest + decoder.decode(part, { stream: true })).split('\n');
    rest = texts.pop() ?? '';
    for (const text of texts) if (text !== '') lines.push(lineOf(text));
  }
}

function lineOf(text: string): string {
  // as: the API says what an event has.
  const event = JSON.parse(text) as { Type: string; Action: string; Actor: { ID: string; Attributes: object } };
  const attributes = Object.entries(event.Actor.Attributes).sort(([a], [b]) => (a < b ? -1 : 1));
  const id = ['image', 'volume'].includes(event.Type) ? ` ${event.Actor.ID}` : '';
  return `${event.Type} ${event.Action}${id} {${attributes.map(([key, value]) => `${key}=${value}`).join(' ')}}`
    .replace(/[0-9a-f]{64}/g, '#')
    .replace(/execDuration=\d+ /, '')
    .replaceAll(registry.host, 'REG');
}

/** All that has been told so far has come. */
async function settled(): Promise<void> {
  const mark = `${MARK}${marks++}`;
  await daemon.request('POST', '/volumes/create', { Name: mark });
  await eventually('the mark comes', () => lines.some((line) => line.includes(`${mark} `)), 20_000);
}

/** Runs the command and compares all that was told of it; `C` in what is expected stands for the container's own. */
async function tells(args: readonly string[], expected: readonly string[], code = 0): Promise<void> {
  await settled();
  const begin = lines.length;
  const result = await daemon.docker(args);
  if (result.code !== code) throw new Error(`docker ${args.join(' ')}: ${result.code}: ${result.stderr}`);
  const enough = (): boolean => lines.slice(begin).filter((line) => !line.includes(MARK)).length >= expected.length;
  await eventually(`all is told of docker ${args.join(' ')}`, enough, 20_000).catch(() => undefined);
  await settled();
  const told = lines.slice(begin).filter((line) => !line.includes(MARK));
  expect(told.map((line) => line.replace(`image=${IMG} name=cc role=x`, 'C'))).toEqual([...expected]);
}

const MOUNT = 'volume mount vol {container=# destination=/v driver=local propagation= read/write=true}';
const UNMOUNT = 'volume unmount vol {container=# driver=local}';
const CONNECT = 'network connect {container=# name=none type=null}';
const DISCONNECT = 'network disconnect {container=# name=none type=null}';

test('images: tag, save, load, import, rmi', async () => {
  const archive = path.join(daemon.directory, 'saved.tar');
  await tells(['tag', IMG, 'ev/other:1'], ['image tag sha256:# {name=ev/other:1}']);
  await tells(['save', '-o', archive, 'ev/other:1', IMG], ['image save sha256:# {name=sha256:#}']);
  await tells(['rmi', 'ev/other:1'], ['image untag sha256:# {name=sha256:#}']);
  await tells(['load', '-q', '-i', archive], ['image load sha256:# {name=sha256:#}']);
  await tells(
    ['import', '--change', 'LABEL a=b', archive, 'ev/imported:1'],
    ['image tag sha256:# {a=b name=ev/imported:1}', 'image import sha256:# {a=b name=sha256:#}'],
  );
  await tells(
    ['rmi', 'ev/imported:1'],
    ['image untag sha256:# {a=b name=sha256:#}', 'image delete sha256:# {name=sha256:#}'],
  );
}, 120_000);

test('push, pull, and the name that goes', async () => {
  const name = `${registry.host}/ev/x:1`;
  await daemon.must(['tag', IMG, name]);
  await tells(['push', '-q', name], ['image push REG/ev/x:1 {name=REG/ev/x}']);
  await tells(['rmi', name], ['image untag sha256:# {name=sha256:#}']);
  await tells(['pull', '-q', name], ['image pull REG/ev/x:1 {name=REG/ev/x}']);
  await daemon.must(['rmi', name]);
}, 120_000);

test('a container that does not run: create, cp, commit, export', async () => {
  const file = path.join(daemon.directory, 'file');
  fs.writeFileSync(file, 'x');
  const create = [
    'create',
    '--name',
    'cc',
    '--label',
    'role=x',
    '-v',
    'vol:/v',
    '--network',
    'none',
    IMG,
    'sleep',
    '1000',
  ];
  await tells(create, ['volume create vol {driver=local}', 'container create {C}']);
  // First the target is looked at.
  await tells(['cp', file, 'cc:/v/f'], [MOUNT, UNMOUNT, MOUNT, 'container extract-to-dir {C}', UNMOUNT]);
  await tells(['cp', 'cc:/v/f', file], [MOUNT, 'container archive-path {C}', UNMOUNT]);
  await tells(['diff', 'cc'], []);
  await tells(['export', '-o', `${file}.tar`, 'cc'], ['container export {C}']);
  await tells(
    ['commit', '-m', 'words', 'cc', 'ev/made:1'],
    [
      'image create sha256:# {name=sha256:# role=x}',
      'image tag sha256:# {name=ev/made:1 role=x}',
      `container commit {comment=words image=${IMG} imageID=sha256:# imageRef=ev/made:1 name=cc role=x}`,
    ],
  );
}, 120_000);

test('a container that runs: start, exec, commit, kill, rm -f', async () => {
  await tells(['start', 'cc'], [MOUNT, CONNECT, 'container start {C}']);
  const exec = (id: string, word: string, end = '') => `container ${word} {execID=${id}${end} C}`;
  // A program without arguments is followed by a blank.
  await tells(
    ['exec', 'cc', 'true'],
    [exec('#', 'exec_create: true '), exec('#', 'exec_start: true '), exec('#', 'exec_die', ' exitCode=0')],
  );
  await tells(
    ['exec', 'cc', 'sh', '-c', 'exit 3'],
    [
      exec('#', 'exec_create: sh -c exit 3'),
      exec('#', 'exec_start: sh -c exit 3'),
      exec('#', 'exec_die', ' exitCode=3'),
    ],
    3,
  );
  await tells(['exec', 'cc', 'nosuch'], [exec('#', 'exec_create: nosuch '), exec('#', 'exec_start: nosuch ')], 127);
  const { code } = await daemon.docker(['commit', 'cc', 'ev/made:2']);
  expect(code).toBe(0);
  // It goes on as soon as its files are read, so `unpause` has no fixed place.
  const ofCommit = () => lines.filter((line) => /container (pause|unpause) /.test(line));
  await eventually('the pause is told', () => ofCommit().length === 2, 20_000);
  await tells(['top', 'cc'], ['container top {C}']);
  await tells(['update', '--cpu-shares', '512', 'cc'], ['container update {C}']);
  await tells(['kill', '-s', 'HUP', 'cc'], ['container kill {C signal=1}']);
  await tells(
    ['rm', '-f', 'cc'],
    ['container kill {C signal=9}', DISCONNECT, UNMOUNT, `container die {exitCode=137 C}`, 'container destroy {C}'],
  );
}, 120_000);

test('a start that comes to nothing', async () => {
  const own = `image=${IMG} name=never`;
  await tells(
    ['run', '--name', 'never', '--network', 'none', IMG, 'nosuch'],
    [`container create {${own}}`, `container attach {${own}}`, DISCONNECT],
    127,
  );
}, 120_000);
