/** Variables of a build: global scope, stages, what is inherited, and expansion of whole instructions. */
import { expect, test } from 'bun:test';
import { expandInstruction, mountsOf, scriptOf } from './expand.ts';
import type { StageInstruction } from './instructions.ts';
import { parseTrigger, requireDockerfile } from './parse.ts';
import { findStage, globalScope, platformArgs, resolveFrom, StageScope } from './scope.ts';

const amd64 = { os: 'linux', architecture: 'amd64' };
const arm = { os: 'linux', architecture: 'arm', variant: 'v7' };
const parse = (text: string) => requireDockerfile({ name: 'Dockerfile', text });
const scopeOf = (text: string, args: Record<string, string> = {}) => {
  const file = parse(text);
  return { file, scope: globalScope(file, new Map(Object.entries(args)), platformArgs(amd64, arm)) };
};

function stage(index: number, text: string, args: Record<string, string> = {}) {
  const { file, scope } = scopeOf(text, args);
  const found = file.stages[index];
  if (found === undefined) throw new Error('no such stage');
  return { file, scope, found };
}

test('platforms are variables of the global scope', () => {
  const { scope } = scopeOf('FROM scratch');
  expect(Object.fromEntries(scope.values)).toEqual({
    BUILDPLATFORM: 'linux/amd64',
    BUILDOS: 'linux',
    BUILDARCH: 'amd64',
    BUILDVARIANT: '',
    TARGETPLATFORM: 'linux/arm/v7',
    TARGETOS: 'linux',
    TARGETARCH: 'arm',
    TARGETVARIANT: 'v7',
    TARGETSTAGE: 'default',
  });
});

test('a global ARG is what the client gives, else its default, expanded by the ones before', () => {
  const text = 'ARG A=1\nARG B=${A}2 C="$B 3"\nARG D\nFROM busybox:$C';
  const { scope } = scopeOf(text, { B: '$A' });
  expect([scope.values.get('B'), scope.values.get('C'), scope.values.has('D'), scope.declared.has('D')]).toEqual([
    '$A',
    '$A 3',
    false,
    true,
  ]);
});

test('FROM sees the global scope and says what is missing', () => {
  const { file, scope, found } = stage(0, 'ARG V=1\nFROM --platform=$BUILDPLATFORM busybox:$V');
  expect(resolveFrom(file, found, scope)).toEqual({ base: 'busybox:1', platform: 'linux/amd64', undeclared: [] });
  const bad = stage(0, 'ARG IMAGE_NAME\nFROM $IMAGENAME');
  expect(() => resolveFrom(bad.file, bad.found, bad.scope)).toThrow(
    'dockerfile parse error on line 2: base name ($IMAGENAME) should not be blank (did you mean IMAGE_NAME?)',
  );
  const platform = stage(0, 'FROM --platform=$BULIDPLATFORM x');
  expect(() => resolveFrom(platform.file, platform.found, platform.scope)).toThrow(
    'empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)',
  );
});

test('stages are found by name, whatever its case, and by number, but only earlier ones', () => {
  const file = parse('FROM a AS One\nFROM b AS one\nFROM c');
  expect([findStage(file, 'ONE')?.index, findStage(file, 'one', 1)?.index, findStage(file, '2')?.index]).toEqual([
    1, 0, 2,
  ]);
  expect(findStage(file, '2', 2)).toBeUndefined();
  expect(findStage(file, 'two')).toBeUndefined();
});

test('a stage sees an ARG once it is declared there; ENV goes before it; derived stages inherit', () => {
  const { file, scope } = scopeOf('ARG G=global\nFROM a\nARG G\nARG L=local\nARG E=arg\nARG HTTP_PROXY=d\n', {});
  const buildArgs = new Map([
    ['L', 'given'],
    ['https_proxy', 'p'],
  ]);
  const variables = new StageScope(scope, buildArgs, new Map([['E', 'env']]));
  expect(variables.environment.has('G')).toBe(false);
  for (const instruction of file.stages[0]?.instructions ?? []) {
    if (instruction.keyword === 'ARG') variables.declare(instruction);
  }
  expect(Object.fromEntries(variables.environment)).toEqual({ G: 'global', L: 'given', E: 'env', HTTP_PROXY: 'd' });
  expect(Object.fromEntries(variables.imageEnvironment)).toEqual({ E: 'env' });
  expect(Object.fromEntries(variables.proxies)).toEqual({ https_proxy: 'p' });
  const derived = new StageScope(scope, buildArgs, variables.imageEnvironment, variables);
  expect(derived.environment.get('L')).toBe('given');
});

const env = new Map([
  ['A', 'a'],
  ['W', '80 90'],
]);
const only = (text: string): StageInstruction => {
  const found = parse(`FROM x\n${text}`).stages[0]?.instructions[0];
  if (found === undefined) throw new Error('no instruction');
  return found;
};
const expanded = (text: string) => expandInstruction(parse('FROM x'), only(text), env).value as object;

test.each<[string, object]>([
  [
    'COPY --chown=$A --chmod=$A --exclude=$A $A "$A" /$A',
    { sources: ['a', 'a'], destination: '/a', chown: 'a', chmod: 'a', exclude: ['a'] },
  ],
  ['ADD --checksum=$A x y', { checksum: 'a' }],
  ['EXPOSE $W', { ports: ['80', '90'] }],
  ['VOLUME $A $W', { paths: ['a', '80 90'] }],
  ['USER $A', { user: 'a' }],
  ['WORKDIR $A/b', { path: 'a/b' }],
  ['STOPSIGNAL $A', { signal: 'a' }],
  [
    'ARG x$A=$A y',
    {
      args: [
        { name: 'xa', value: 'a' },
        { name: 'y', value: undefined },
      ],
    },
  ],
  [
    'ENV a="$W" b=\'$W\'',
    {
      pairs: [
        { name: 'a', value: '80 90' },
        { name: 'b', value: '$W' },
      ],
    },
  ],
  ['RUN $A', { command: { form: 'shell', args: ['$A'] } }],
  ['CMD ["$A"]', { command: { form: 'exec', args: ['$A'] } }],
  [
    'COPY <<X <<"Y" /\n$A "q"\nX\n$A\nY',
    {
      contents: [
        { name: 'X', content: 'a "q"\n' },
        { name: 'Y', content: '$A\n' },
      ],
    },
  ],
])('%s', (text, fields) => expect(expanded(text)).toMatchObject(fields));

test('an expansion that fails names its line', () => {
  expect(() => expandInstruction(parse('FROM x'), only('ENV a="${B:?must be set}"'), env)).toThrow(
    'dockerfile parse error on line 2: failed to process "\\"${B:?must be set}\\"": B: must be set',
  );
});

test('mounts are read after expansion', () => {
  const file = parse('FROM x\nRUN --mount=type=cache,id=$A,target=/$A,sharing=private --mount=target=/b true');
  const run = file.stages[0]?.instructions[0];
  if (run?.keyword !== 'RUN') throw new Error('no RUN');
  expect(mountsOf(file, run, env).value).toMatchObject([
    { type: 'cache', id: 'a', target: '/a', sharing: 'private', readOnly: false },
    { type: 'bind', target: '/b', readOnly: true },
  ]);
});

test('a RUN with heredocs is a script of its own, or text for the shell', () => {
  const script = (text: string) => {
    const run = only(text);
    return run.keyword === 'RUN' ? scriptOf(run) : undefined;
  };
  expect(script('RUN <<-E\n\t#!/bin/x\n\ty\n\tE')).toEqual({ kind: 'file', name: 'E', content: '#!/bin/x\ny\n' });
  expect(script('RUN <<E\na\nE')).toEqual({ kind: 'shell', text: 'a\n' });
  expect(script("RUN cat <<'E' x\na\nE")).toEqual({ kind: 'shell', text: "cat <<'E' x\na\nE" });
  expect(script('RUN a')).toEqual({ kind: 'shell', text: 'a' });
  expect(script('RUN ["a"]')).toBeUndefined();
});

test('triggers of a base image are one instruction of the allowed ones', () => {
  expect(parseTrigger('COPY a b', 'img')).toMatchObject({ keyword: 'COPY', sources: ['a'] });
  expect(parseTrigger('RUN <<E\nx\nE', 'img')).toMatchObject({ keyword: 'RUN' });
  expect(() => parseTrigger('FROM x', 'img')).toThrow("FROM isn't allowed as an ONBUILD trigger");
  expect(() => parseTrigger('RUN a\nRUN b', 'img')).toThrow('one instruction');
  expect(() => parseTrigger('', 'img')).toThrow();
});
