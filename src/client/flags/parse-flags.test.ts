import { describe, expect, test } from 'bun:test';
import { bytes, duration, flag, integer, list, nanoDecimal, text, unsigned } from './flag-spec.ts';
import { flagUsage } from './flag-usage.ts';
import { FlagError, parseFlags } from './parse-flags.ts';

const TABLE = {
  all: flag('Show all', { shorthand: 'a' }),
  interactive: flag('Keep STDIN open', { shorthand: 'i' }),
  tty: flag('Allocate a pseudo-TTY', { shorthand: 't' }),
  proxy: flag('Proxy signals', { initial: true }),
  name: text('Assign a name'),
  env: list('Set variables', { shorthand: 'e' }),
  last: integer('Show n last', { shorthand: 'n', initial: -1 }),
  memory: bytes('Memory limit', { shorthand: 'm' }),
  swap: bytes('Swap limit', { allowUnlimited: true }),
  weight: unsigned('Weight', 16),
  interval: duration('Interval'),
  cpus: nanoDecimal('CPUs'),
};

const parse = (line: string, interspersed = true) =>
  parseFlags(TABLE, line === '' ? [] : line.split(' '), { interspersed });

describe('accepted', () => {
  test('bundled shorthands, the last with a value', () => {
    const { values, positionals } = parse('-itn5 x');
    expect([values.interactive, values.tty, values.last, positionals]).toEqual([true, true, 5, ['x']]);
  });
  for (const line of ['-n 5', '-n5', '-n=5', '--last 5', '--last=5', '--last=0x5']) {
    test(line, () => expect(parse(line).values.last).toBe(5));
  }
  test('booleans are negated by =false only', () => {
    const { values, positionals } = parse('--proxy=false -i=false --all false');
    expect([values.proxy, values.interactive, values.all, positionals]).toEqual([false, false, true, ['false']]);
  });
  test('repeated lists add up, repeated values replace', () => {
    const { values } = parse('-e A=1 --env B=2 --name x --name y');
    expect([values.env, values.name]).toEqual([['A=1', 'B=2'], 'y']);
  });
  test('-- ends the options', () => expect(parse('-a -- -i --x').positionals).toEqual(['-i', '--x']));
  test('- is an argument', () => expect(parse('- -a').positionals).toEqual(['-']));
  test('options end at the first argument when told so', () => {
    const { values, positionals } = parse('-i image -t --name x', false);
    expect([values.interactive, values.tty, positionals]).toEqual([true, false, ['image', '-t', '--name', 'x']]);
  });
  test('options go on after arguments otherwise', () => {
    expect(parse('x -a y').positionals).toEqual(['x', 'y']);
    expect(parse('x -a y').values.all).toBe(true);
  });
  test('an empty value is a value', () => expect(parse('--name=').given.has('name')).toBe(true));
  test('a value may look like a flag', () => expect(parse('--name -i').values.name).toBe('-i'));
  for (const line of ['--help', '-h', '-ah', 'x --help']) test(line, () => expect(parse(line).help).toBe(true));
  test('sizes, durations, rationals', () => {
    const { values } = parse('-m 1.5g --swap -1 --interval 1m30.5s --cpus .5');
    expect([values.memory, values.swap, values.interval, values.cpus]).toEqual([1610612736, -1, 90.5e9, 5e8]);
  });
});

describe('refused with the words of pflag', () => {
  for (const [line, message] of [
    ['-x', "unknown shorthand flag: 'x' in -x"],
    ['-itx5', "unknown shorthand flag: 'x' in -x5"],
    ['--foo', 'unknown flag: --foo'],
    ['--foo=1', 'unknown flag: --foo'],
    ['--toString', 'unknown flag: --toString'],
    ['--name', 'flag needs an argument: --name'],
    ['-an', "flag needs an argument: 'n' in -n"],
    ['--=x', 'bad flag syntax: --=x'],
    ['---x', 'bad flag syntax: ---x'],
    ['-m xyz', `invalid argument "xyz" for "-m, --memory" flag: invalid size: 'xyz'`],
    [
      '--all=maybe',
      'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    ],
    ['-n abc', 'invalid argument "abc" for "-n, --last" flag: strconv.ParseInt: parsing "abc": invalid syntax'],
    [
      '--weight 99999',
      'invalid argument "99999" for "--weight" flag: strconv.ParseUint: parsing "99999": value out of range',
    ],
    ['--interval x', 'invalid argument "x" for "--interval" flag: time: invalid duration "x"'],
    ['--interval 5', 'invalid argument "5" for "--interval" flag: time: missing unit in duration "5"'],
    ['--cpus abc', 'invalid argument "abc" for "--cpus" flag: failed to parse abc as a rational number'],
  ] as const) {
    test(line, () => expect(() => parse(line)).toThrow(new FlagError(message)));
  }
});

test('help has the columns of pflag', () => {
  expect(
    flagUsage({
      all: flag('Show all containers (default shows just running)', { shorthand: 'a' }),
      filter: list('Filter output based on conditions provided', { shorthand: 'f', typeName: 'filter' }),
      format: text("Format output using a custom template:\n'json':             Print in JSON format"),
      last: integer('Show n last created containers (includes all states)', { shorthand: 'n', initial: -1 }),
    }),
  ).toBe(
    [
      '  -a, --all             Show all containers (default shows just running)',
      '  -f, --filter filter   Filter output based on conditions provided',
      '      --format string   Format output using a custom template:',
      "                        'json':             Print in JSON format",
      '  -n, --last int        Show n last created containers (includes all',
      '                        states) (default -1)',
      '',
    ].join('\n'),
  );
});
