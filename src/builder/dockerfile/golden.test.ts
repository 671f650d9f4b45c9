/**
 * A folder of Dockerfiles and what they are read as: `x.Dockerfile` and `x.txt` beside it. BERTH_GOLDEN=write writes
 * the second from the first; look at the difference before committing it.
 */
import { expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { messageOfProblem, type SourceRange } from './source.ts';
import { parseDockerfile } from './parse.ts';

const folder = path.join(import.meta.dirname, 'golden');
const names = fs.readdirSync(folder).filter((name) => name.endsWith('.Dockerfile'));

const place = ({ start, end }: SourceRange) => `${start.line}:${start.column}-${end.line}:${end.column}`;
const isRange = (value: unknown): value is SourceRange =>
  typeof value === 'object' && value !== null && 'start' in value;

/** One line per instruction: place, keyword, then each field that says something. */
function show(instruction: object): string {
  const { keyword, range, ...fields } = instruction as Record<string, unknown>;
  const said = Object.entries(fields).flatMap(([name, value]) => {
    if (name === 'text' || name === 'written') return [];
    const empty = value === undefined || value === false || (Array.isArray(value) && value.length === 0);
    return empty ? [] : [`${name}=${JSON.stringify(value, compact)}`];
  });
  return `${isRange(range) ? place(range) : ''} ${String(keyword)} ${said.join(' ')}`.trimEnd();
}

const compact = (_: string, value: unknown) =>
  typeof value === 'bigint' ? `${value}ns` : isRange(value) ? place(value) : value;

function dump(text: string): string {
  const { value, problems } = parseDockerfile({ name: 'Dockerfile', text });
  const directives = Object.values(value.directives).map(
    ({ name, value: given, line }) => `${line} # ${name}=${given}`,
  );
  const stages = value.stages.flatMap(({ from, instructions }) => ['', show(from), ...instructions.map(show)]);
  const wrong = problems.map((problem) => `${place(problem.range)} !! ${messageOfProblem(problem)}`);
  return `${[...directives, ...value.globalArgs.map(show), ...stages, ...wrong].join('\n').trim()}\n`;
}

test.each(names)('%s', (name) => {
  const expected = path.join(folder, name.replace(/Dockerfile$/, 'txt'));
  const found = dump(fs.readFileSync(path.join(folder, name), 'utf8'));
  if (process.env['BERTH_GOLDEN'] === 'write') fs.writeFileSync(expected, found);
  expect(found).toBe(fs.readFileSync(expected, 'utf8'));
});

test('the folder has not been lost', () => expect(names.length).toBeGreaterThan(25));
