/** The rules of `--check`: for each what it finds, and what it leaves alone. */
import { expect, test } from 'bun:test';
import { IgnoreMatcher } from './ignore.ts';
import { failOnWarnings, formatWarnings, lint } from './lint.ts';
import { lintOptionsOf } from './lint-options.ts';
import { lintRules, ruleUrl } from './lint-rules.ts';
import { requireDockerfile } from './parse.ts';
import { globalScope, platformArgs } from './scope.ts';

const host = { os: 'linux', architecture: 'amd64' };

function check(text: string, given: { args?: Record<string, string>; ignore?: string; check?: string } = {}) {
  const file = requireDockerfile({ name: 'Dockerfile', text });
  const predefined = platformArgs(host, host);
  const buildArgs = new Map(Object.entries(given.args ?? {}));
  const warnings = lint({
    file,
    options: lintOptionsOf(file, given.check),
    scope: globalScope(file, buildArgs, predefined),
    defaults: globalScope(file, new Map(), predefined),
    buildArgs,
    ...(given.ignore === undefined ? {} : { ignore: IgnoreMatcher.parse(given.ignore) }),
  });
  return { file, warnings, said: warnings.map(({ rule, range, detail }) => `${range.start.line} ${rule}: ${detail}`) };
}

const repeated = (keyword: string) =>
  `MultipleInstructionsDisallowed: Multiple ${keyword} instructions should not be used in the same stage because only the last one will be used`;
const json = 'to prevent unintended behavior related to OS signals';
const secret = 'SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data';
const experimental = '# check=experimental=all\n';

test.each<[string, readonly string[]]>([
  ['FROM scratch AS Bad', ["1 StageNameCasing: Stage name 'Bad' should be lowercase"]],
  ['FROM scratch as b', ["1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"]],
  ['from scratch AS b', ["1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"]],
  ['FROM scratch\nCOPY a \\\n\n.\nCOPY b \\\n.', ['4 NoEmptyContinuation: Empty continuation line']],
  [
    'FROM scratch\ncopy a b\nCOPY a b',
    ["2 ConsistentInstructionCasing: Command 'copy' should match the case of the command majority (uppercase)"],
  ],
  [
    'frOM scratch as a\nfrom scratch as b',
    ["1 ConsistentInstructionCasing: Command 'frOM' should match the case of the command majority (lowercase)"],
  ],
  ['from scratch\ncopy a b', []],
  [
    'FROM scratch AS b\nFROM scratch AS b',
    ['2 DuplicateStageName: Duplicate stage name "b", stage names should be unique'],
  ],
  [
    'FROM scratch AS scratch\nFROM scratch AS context',
    [
      '1 ReservedStageName: Stage name should not use the same name as reserved stage "scratch"',
      '2 ReservedStageName: Stage name should not use the same name as reserved stage "context"',
    ],
  ],
  [
    'FROM scratch\nCMD a\nENTRYPOINT b',
    [
      `2 JSONArgsRecommended: JSON arguments recommended for CMD ${json}`,
      `3 JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT ${json}`,
    ],
  ],
  ['FROM scratch AS base\nSHELL ["/sh"]\nFROM base\nCMD a', []],
  [
    'FROM scratch\nMAINTAINER me',
    ['2 MaintainerDeprecated: Maintainer instruction is deprecated in favor of using label'],
  ],
  ['ARG base=scratch\nFROM $base', []],
  ['FROM --platform=$BUILDPLATFORM scratch', []],
  ['ARG DEBUG\nFROM scra${DEBUG:-tch}', []],
  [
    'FROM --platform=$BULIDPLATFORM scratch',
    ["1 UndefinedArgInFrom: FROM argument 'BULIDPLATFORM' is not declared (did you mean BUILDPLATFORM?)"],
  ],
  ['ARG tag=latest\nFROM busybox:${tag}${version}', ["2 UndefinedArgInFrom: FROM argument 'version' is not declared"]],
  [
    'FROM scratch\nWORKDIR app/',
    ['2 WorkdirRelativePath: Relative workdir "app/" can have unexpected results if the base image changes'],
  ],
  ['FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR sub', []],
  ['FROM scratch\nARG foo\nCOPY a$foo .', []],
  ['FROM busybox AS base\nARG foo=a\nFROM base\nCOPY $foo .', []],
  ['FROM busybox\nRUN echo $PATH $nothing', []],
  ['FROM busybox\nCOPY $foo .\nARG foo=x', ["2 UndefinedVar: Usage of undefined variable '$foo'"]],
  [
    'FROM busybox\nARG DIR_ASSETS=a\nCOPY $DIR_ASSET .',
    ["3 UndefinedVar: Usage of undefined variable '$DIR_ASSET' (did you mean $DIR_ASSETS?)"],
  ],
  ['FROM busybox\nENV PATH=$PAHT:/x', ["2 UndefinedVar: Usage of undefined variable '$PAHT' (did you mean $PATH?)"]],
  ['FROM busybox\nENV A=${B:-x} C=${D+y}', []],
  ['FROM busybox\nRUN --mount=type=cache,target=$NOPE true', ["2 UndefinedVar: Usage of undefined variable '$NOPE'"]],
  [
    'FROM scratch\nENTRYPOINT ["a"]\nCMD ["a"]\nHEALTHCHECK CMD ["a"]\nENTRYPOINT ["b"]\nCMD ["b"]\nHEALTHCHECK CMD ["b"]',
    [`2 ${repeated('ENTRYPOINT')}`, `3 ${repeated('CMD')}`, `4 ${repeated('HEALTHCHECK')}`],
  ],
  ['FROM scratch AS a\nCMD ["a"]\nFROM a\nCMD ["b"]', []],
  [
    'FROM scratch\nENV a b\nLABEL a b',
    ['ENV', 'LABEL'].map(
      (k, i) =>
        `${i + 2} LegacyKeyValueFormat: "${k} key=value" should be used instead of legacy "${k} key value" format`,
    ),
  ],
  [
    'FROM --platform=$TARGETPLATFORM scratch\nFROM --platform=${TARGETPLATFORM} scratch',
    ['$TARGETPLATFORM', '${TARGETPLATFORM}'].map(
      (v, i) =>
        `${i + 1} RedundantTargetPlatform: Setting platform to predefined ${v} in FROM is redundant as this is the default behavior`,
    ),
  ],
  [
    'FROM scratch\nARG SECRET_PASSPHRASE\nENV password=a secret=b apikey=c git_key= PUBLIC_KEY= monkey=d\nARG public_token',
    [
      `2 ${secret} (ARG "SECRET_PASSPHRASE")`,
      ...['apikey', 'git_key', 'password', 'secret'].map((name) => `3 ${secret} (ENV "${name}")`),
    ],
  ],
  [
    'FROM --platform=linux/amd64 scratch',
    ['1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "linux/amd64"'],
  ],
  ['FROM --platform=linux/amd64 scratch AS my_amd64_stage', []],
  [
    'FROM scratch\nEXPOSE 80/TCP',
    ["2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE instruction should be lowercase"],
  ],
  [
    'FROM scratch\nEXPOSE 127.0.0.1:80:80',
    [
      "2 ExposeInvalidFormat: EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
    ],
  ],
  [
    `${experimental}# bar is it\nARG foo=bar\n# Base\nFROM scratch AS base\n# wrong\nARG a=b c=d`,
    [
      '3 InvalidDefinitionDescription: Comment for ARG should follow the format: `# foo <description>`',
      '5 InvalidDefinitionDescription: Comment for FROM should follow the format: `# base <description>`',
      '7 InvalidDefinitionDescription: Comment for ARG should follow the format: `# <arg_key> <description>`',
    ],
  ],
  [`${experimental}# foo is it\nARG foo=bar\n# one\n\nFROM scratch AS base\n# x\n#\nARG bit\n# c\nCOPY a b`, []],
])('%s', (text, expected) => expect(check(text).said).toEqual([...expected]));

test.each<[string, Record<string, string>, boolean]>([
  ['ARG VERSION\nFROM busybox:$VERSION', { VERSION: 'latest' }, true],
  ['ARG IMAGE\nFROM $IMAGE', { IMAGE: 'busybox' }, true],
  ['ARG SFX="box:"\nFROM busy${SFX}', { SFX: 'box:latest' }, true],
  ['ARG VERSION=latest\nFROM busybox:${VERSION}', { VERSION: 'x' }, false],
  ['ARG V\nFROM busybox:stable${V}', { V: '-musl' }, false],
])('%s with defaults only', (text, args, warned) => {
  const base = text.split('FROM ')[1];
  const detail = `2 InvalidDefaultArgInFrom: Default value for ARG ${base} results in empty or invalid base image name`;
  expect(check(text, { args }).said).toEqual(warned ? [detail] : []);
});

test('what is copied and ignored', () => {
  const text = 'FROM scratch AS a\nCOPY x .\nADD x https://x/x /y\nFROM a\nCOPY --from=a x .';
  expect(check(text, { ignore: 'x' }).said).toEqual([]);
  expect(check(text, { ignore: 'x', check: 'skip=all;experimental=CopyIgnoredFile' }).said).toEqual([
    '2 CopyIgnoredFile: Attempting to Copy file "x" that is excluded by .dockerignore',
    '3 CopyIgnoredFile: Attempting to Add file "x" that is excluded by .dockerignore',
  ]);
});

test('rules are skipped by name, by all of them, and by the build argument before the directive', () => {
  const body = 'FROM scratch as base\ncopy a .\n';
  expect(check(`#check=skip=all\n${body}`).said).toEqual([]);
  expect(check(`#check=skip=ConsistentInstructionCasing, FromAsCasing\n${body}`).said).toEqual([]);
  expect(check(`#check=skip=all\n${body}`, { check: 'skip=FromAsCasing;error=true' }).warnings).toHaveLength(1);
  expect(() => check(`#check=skpi=all\n${body}`)).toThrow('invalid check option "skpi"');
  expect(() => check(`#check=error=maybe\n${body}`)).toThrow('failed to parse check option "error=maybe"');
  expect(() => check(`#check=all\n${body}`)).toThrow('invalid check option "all"');
});

test('warnings can be errors, and are shown with the lines that they are about', () => {
  const { file, warnings } = check('# check=error=true\nFROM scratch as b\n');
  expect(() => failOnWarnings(lintOptionsOf(file), warnings)).toThrow('lint violation found for rules: FromAsCasing');
  expect(formatWarnings(file, warnings)).toBe(
    'Check complete, 1 warning has been found!\n\n' +
      'WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/\n' +
      "'as' and 'FROM' keywords' casing do not match\nDockerfile:2\n--------------------\n" +
      '   1 |     # check=error=true\n   2 | >>> FROM scratch as b\n   3 |     \n--------------------\n',
  );
  expect(formatWarnings(file, [])).toBe('Check complete, no warnings found.\n');
});

test('there are 21 rules, each with an address', () => {
  expect(Object.keys(lintRules)).toHaveLength(21);
  expect(ruleUrl('JSONArgsRecommended')).toEndWith('/json-args-recommended/');
  expect(ruleUrl('SecretsUsedInArgOrEnv')).toEndWith('/secrets-used-in-arg-or-env/');
  expect(ruleUrl('UndefinedVar')).toEndWith('/undefined-var/');
});
