/** Writes what the stock docker CLI prints for each template: `bun tools/golden-templates.ts`. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import answers from '../test/integration/cli/templates/answers.json' with { type: 'json' };
import { CASES } from '../test/integration/cli/templates/cases.ts';
import { recordedDaemon } from '../test/integration/cli/templates/daemon.ts';

const directory = mkdtempSync(path.join(tmpdir(), 'berth-golden-'));
const socket = path.join(directory, 's.sock');
await using _ = recordedDaemon(socket);
const golden: { args: string[]; template: string; code: number; out: string; err: string }[] = [];
for (const { args, templates } of CASES) {
  for (const template of templates) {
    const host = ['-H', `unix://${socket}`];
    const words = [...args.map((word) => (word === 'REFERENCE' ? answers.reference : word)), '--format', template];
    const env = { ...process.env, HOME: directory, TZ: 'UTC' };
    const ran = Bun.spawn(['docker', ...host, ...words], { env, stdout: 'pipe', stderr: 'pipe' });
    const [out, err, code] = await Promise.all([
      new Response(ran.stdout).text(),
      new Response(ran.stderr).text(),
      ran.exited,
    ]);
    golden.push({ args: words.slice(0, -2), template, code, out, err });
  }
}
rmSync(directory, { recursive: true });
writeFileSync('test/integration/cli/templates/golden.json', `${JSON.stringify(golden, undefined, 1)}\n`);
console.log(`${golden.length} templates`);
