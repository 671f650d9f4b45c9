/** Anything that is thrown at the readers comes back as a value or as a problem with a place, and quickly. */
import { expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { BerthError } from '#errdefs/errors.ts';
import { expandInstruction, mountsOf } from './expand.ts';
import { IgnoreMatcher } from './ignore.ts';
import { Lexer } from './lexer.ts';
import { lint } from './lint.ts';
import { parseLintOptions } from './lint-options.ts';
import { parseDockerfile } from './parse.ts';
import { globalScope, platformArgs } from './scope.ts';
import { Fault } from './source.ts';

const RUNS = 300;
const host = { os: 'linux', architecture: 'amd64' };
const env = new Map([
  ['A', 'a b'],
  ['EMPTY', ''],
]);

/** Pieces that the grammar cares about, glued together at random. */
const piece = fc.constantFrom(
  ...['FROM', 'RUN', 'COPY', 'ADD', 'ENV', 'ARG', 'LABEL', 'CMD', 'ONBUILD', 'HEALTHCHECK', 'SHELL', 'EXPOSE', 'from'],
  ...[
    'scratch',
    ' AS ',
    'a',
    '=',
    ' ',
    '\t',
    '\n',
    '\r\n',
    '\\',
    '\\\n',
    '`',
    '#',
    '# escape=`',
    '# check=skip=all',
    '[',
  ],
  ...[
    '"',
    "'",
    ']',
    '<<EOF',
    '<<-"E"',
    'EOF',
    'E',
    '$',
    '${',
    '}',
    ':',
    '-',
    '+',
    '?',
    '/',
    '*',
    '$A',
    '${A:-',
    '--',
    '!',
  ],
  ...[
    '--mount=type=cache',
    ',target=/x',
    '--from=',
    '--chmod=',
    '--interval=1s',
    'NONE',
    '\u0000',
    '😀',
    '\uFEFF',
    '**',
  ],
);
const text = fc.oneof(
  fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join('')),
  fc.string({ unit: 'binary', maxLength: 200 }),
);

/** Runs what may fail by one of these only. */
function may(work: () => unknown): void {
  try {
    work();
  } catch (error) {
    if (error instanceof Fault) return;
    if (!(error instanceof BerthError) || error.kind !== 'invalid-parameter') throw error;
  }
}

test('Dockerfiles', () => {
  const property = fc.property(text, (body) => {
    const source = { name: 'Dockerfile', text: body };
    const { value, problems } = parseDockerfile(source);
    const lines = body.split('\n').length;
    for (const { range } of problems) {
      expect(range.start.line).toBeWithin(1, lines + 1);
      expect(range.start.column).toBeGreaterThan(0);
    }
    for (const { from, instructions } of value.stages) {
      for (const instruction of [from, ...instructions]) {
        expect(instruction.range.start.line).toBeWithin(1, lines + 1);
        expect(instruction.range.end.line).toBeGreaterThanOrEqual(instruction.range.start.line);
        may(() => expandInstruction(value, instruction, env));
        if (instruction.keyword === 'RUN') may(() => mountsOf(value, instruction, env));
      }
    }
    may(() => {
      const scope = globalScope(value, env, platformArgs(host, host));
      const options = parseLintOptions('experimental=all');
      lint({ file: value, options, scope, defaults: scope, buildArgs: env });
    });
  });
  fc.assert(property, { numRuns: RUNS });
});

test('words', () => {
  const property = fc.property(text, fc.boolean(), (body, raw) => {
    may(() => new Lexer({ rawEscapes: raw, rawQuotes: raw, keepUnset: raw }).expand(body, env));
  });
  fc.assert(property, { numRuns: RUNS });
});

test('what has no special characters stands for itself', () => {
  const plain = fc.stringMatching(/^[A-Za-z0-9_./:@=,-]*$/);
  fc.assert(
    fc.property(plain, (word) => {
      expect(new Lexer().word(word, env)).toBe(word);
    }),
  );
});

const name = fc.stringMatching(/^[ab*?.[\]\\!^-]{1,8}$/);
const path = fc.array(fc.stringMatching(/^[ab.]{1,3}$/), { minLength: 1, maxLength: 5 });

test('a directory that need not be entered has nothing below that counts', () => {
  const patterns = fc.array(
    fc.tuple(fc.boolean(), fc.array(fc.oneof(name, fc.constant('**')), { minLength: 1, maxLength: 4 })),
    { maxLength: 5 },
  );
  const property = fc.property(patterns, path, (rules, names) => {
    may(() => {
      const matcher = new IgnoreMatcher(rules.map(([not, parts]) => `${not ? '!' : ''}${parts.join('/')}`));
      let state = matcher.root;
      let entered = true;
      for (const next of names) {
        if (next === '.' || next === '..') return;
        entered &&= matcher.enters(state);
        state = matcher.child(state, next);
        if (!entered) expect(state.ignored).toBe(true);
      }
      expect(matcher.ignores(names.join('/'))).toBe(state.ignored);
    });
  });
  fc.assert(property, { numRuns: RUNS * 5 });
});
