import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { kindOf } from '#errdefs/errors.ts';
import { PluginClient } from './client.ts';
import { findPlugin, pluginNames } from './discover.ts';

let root: string;
let directories: { sockets: string[]; specs: string[] };
const servers: { stop(force: boolean): unknown }[] = [];

beforeEach(() => {
  root = fs.mkdtempSync(path.join(os.tmpdir(), 'berth-plugins-'));
  directories = { sockets: [path.join(root, 'run')], specs: [path.join(root, 'etc'), path.join(root, 'lib')] };
  for (const directory of [...directories.sockets, ...directories.specs]) fs.mkdirSync(directory);
});
afterEach(() => {
  for (const server of servers.splice(0)) void server.stop(true);
  fs.rmSync(root, { recursive: true });
});

function serve(socket: string, answer: () => Response | Promise<Response>): void {
  fs.mkdirSync(path.dirname(socket), { recursive: true });
  servers.push(Bun.serve({ unix: socket, fetch: answer }));
}

const caught = async (work: Promise<unknown>): Promise<[string, string]> => {
  const error = await work.then(
    () => undefined,
    (failure: unknown) => failure,
  );
  return [kindOf(error), error instanceof Error ? error.message : ''];
};

describe('where plugins announce themselves', () => {
  test('sockets, .spec and .json, also in a directory of their name; a socket goes first', () => {
    serve(path.join(root, 'run/one.sock'), () => Response.json({}));
    serve(path.join(root, 'run/two/two.sock'), () => Response.json({}));
    fs.writeFileSync(path.join(root, 'etc/one.spec'), 'tcp://10.0.0.1:1');
    fs.writeFileSync(path.join(root, 'etc/three.spec'), 'tcp://10.0.0.1:8080\n');
    const tls = { InsecureSkipVerify: true, CAFile: '/ca', CertFile: '', KeyFile: '' };
    fs.writeFileSync(path.join(root, 'lib/four.json'), JSON.stringify({ Addr: 'https://host/x', TLSConfig: tls }));
    fs.writeFileSync(path.join(root, 'run/no-socket.sock'), '');
    expect(pluginNames(directories)).toEqual(['four', 'no-socket', 'one', 'three', 'two']);
    expect(findPlugin('one', directories).address).toBe(`unix://${root}/run/one.sock`);
    expect(findPlugin('two', directories).address).toBe(`unix://${root}/run/two/two.sock`);
    expect(findPlugin('three', directories).address).toBe('tcp://10.0.0.1:8080');
    const four = findPlugin('four', directories);
    expect([four.address, four.tls?.skipVerify, four.tls?.caFile]).toEqual(['https://host/x', true, '/ca']);
    expect(() => findPlugin('no-socket', directories)).toThrow('plugin "no-socket" not found');
  });

  test.each(['../x', 'a/b', '', '.x', 'nosuch'])('"%s" is not found', (name) => {
    expect(() => findPlugin(name, directories)).toThrow(`plugin "${name}" not found`);
  });

  test('files that say no address are refused by name', () => {
    for (const [file, text] of [
      ['a1.spec', 'file:///etc/passwd'],
      ['b1.json', '{'],
      ['c1.json', '{"Addr": 1}'],
    ] as const) {
      fs.writeFileSync(path.join(root, 'etc', file), text);
      expect(() => findPlugin(file.slice(0, 2), directories)).toThrow(`plugin "${file.slice(0, 2)}"`);
    }
  });
});

describe('calls', () => {
  const client = (limits = { callMs: 2000, retryMs: 300 }) => new PluginClient('one', directories, limits);
  const socket = () => path.join(root, 'run/one.sock');

  test('an answer, and what it implements', async () => {
    serve(socket(), () => Response.json({ Implements: ['VolumeDriver', 7] }));
    expect(await client().activate()).toEqual(['VolumeDriver']);
  });

  test('Err, a status and an answer that is too long are the plugin’s failure', async () => {
    const answers = [
      Response.json({ Err: 'out of order' }),
      new Response('plain words', { status: 500 }),
      new Response('x'.repeat(5 << 20)),
      new Response(''),
    ];
    serve(socket(), () => answers.shift() ?? Response.json({}));
    expect(await caught(client().call('V.Get', {}))).toEqual(['system', 'V.Get: out of order']);
    expect(await caught(client().call('V.Get', {}))).toEqual(['system', 'V.Get: plain words']);
    expect((await caught(client().call('V.Get', {})))[1]).toContain('is longer than');
    expect(await client().call('V.Get', {})).toEqual({});
  });

  test('one that does not answer is given up in time', async () => {
    serve(socket(), () => new Promise<Response>(() => undefined));
    const began = performance.now();
    expect(await caught(client({ callMs: 200, retryMs: 0 }).call('V.Get', {}))).toEqual([
      'deadline-exceeded',
      'plugin "one" does not answer V.Get',
    ]);
    expect(performance.now() - began).toBeLessThan(5000);
  });

  test('one that is being restarted is waited for, one that stays away is not', async () => {
    serve(socket(), () => Response.json({}));
    await servers.pop()?.stop(true);
    // What is left is a socket that nobody listens at.
    if (!fs.existsSync(socket())) {
      const child = Bun.spawnSync([
        process.execPath,
        '-e',
        `Bun.serve({unix:${JSON.stringify(socket())},fetch(){}});process.kill(process.pid,9)`,
      ]);
      expect(child.signalCode).toBe('SIGKILL');
    }
    const [kind, message] = await caught(client({ callMs: 2000, retryMs: 200 }).call('V.Get', {}));
    expect([kind, message.startsWith('plugin "one" failed at V.Get: ')]).toEqual(['system', true]);
    const call = client({ callMs: 10_000, retryMs: 8000 }).call('V.Get', {});
    await Bun.sleep(50);
    fs.rmSync(socket());
    serve(socket(), () => Response.json({ fine: true }));
    expect(await call).toEqual({ fine: true });
  });
});
