/** Every template prints what the stock docker CLI prints of the same answers; `tools/golden-templates.ts` wrote those. */
import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { runCli } from '#client/main.ts';
import { recordedDaemon } from './daemon.ts';
import golden from './golden.json' with { type: 'json' };

const directory = mkdtempSync(path.join(tmpdir(), 'berth-templates-'));
const socket = path.join(directory, 's.sock');
let daemon: AsyncDisposable | undefined;

beforeAll(() => {
  process.env['TZ'] = 'UTC';
  daemon = recordedDaemon(socket);
});

afterAll(async () => {
  await daemon?.[Symbol.asyncDispose]();
  rmSync(directory, { recursive: true, force: true });
});

for (const { args, template, code, out, err } of golden) {
  test(`${args.join(' ')} ${JSON.stringify(template)}`, async () => {
    const said = { out: '', err: '' };
    const io = {
      out: (text: string) => void (said.out += text),
      err: (text: string) => void (said.err += text),
      stdinIsTerminal: false,
      stdoutIsTerminal: false,
    };
    const argv = ['-H', `unix://${socket}`, ...args, '--format', template];
    const ended = await runCli({ argv, environment: { HOME: directory }, io });
    // Docker lists the names of one image in no order.
    const lines = (text: string) => (args[0] === 'images' ? text.split('\n').sort().join('\n') : text);
    expect({ ended, out: lines(said.out), err: said.err }).toEqual({ ended: code, out: lines(out), err });
  });
}
