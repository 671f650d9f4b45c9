import { describe, expect, test } from 'bun:test';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { applyChanges } from './change.ts';

describe('instructions change the configuration', () => {
  const cases: [string[], object][] = [
    [['CMD ["a", "b"]'], { Cmd: ['a', 'b'] }],
    [['cmd a b'], { Cmd: ['/bin/sh', '-c', 'a b'] }],
    [['CMD []'], { Cmd: [] }],
    [['CMD ["a", b]'], { Cmd: ['/bin/sh', '-c', '["a", b]'] }],
    [['ENV a b c'], { Env: ['a=b c'] }],
    [['ENV a=\'x y\' b="p\\"q" c=d\\ e'], { Env: ['a=x y', 'b=p"q', 'c=d e'] }],
    [['ENV a=1', 'ENV b=2', 'ENV a=3'], { Env: ['a=3', 'b=2'] }],
    [
      ['EXPOSE 80', 'EXPOSE 80/UDP 90-91'],
      { ExposedPorts: { '80/tcp': {}, '80/udp': {}, '90/tcp': {}, '91/tcp': {} } },
    ],
    [['LABEL a=b "c d"=e'], { Labels: { a: 'b', 'c d': 'e' } }],
    [['VOLUME ["/a b", "/c"]'], { Volumes: { '/a b': {}, '/c': {} } }],
    [['WORKDIR a', 'WORKDIR b'], { WorkingDir: '/a/b' }],
    [['HEALTHCHECK NONE'], { Healthcheck: { Test: ['NONE'] } }],
    [['HEALTHCHECK --timeout=1m CMD ["a"]'], { Healthcheck: { Test: ['CMD', 'a'], Timeout: 60e9 } }],
    [['ONBUILD RUN x'], { OnBuild: ['RUN x'] }],
  ];
  for (const [changes, expected] of cases) {
    test(changes.join(' · '), () => expect(applyChanges({}, changes)).toEqual(expected));
  }
});

describe('what is no such instruction is refused by name', () => {
  for (const [change, message] of [
    ['RUN x', 'RUN is not a valid change command'],
    ['', 'invalid change ""'],
    ['ENV', 'ENV requires at least one argument'],
    ['ENV a', 'ENV must have two arguments'],
    ['ENV a=1 b', 'Syntax error - can\'t find = in "b". Must be of the form: name=value'],
    ['LABEL a="b', 'unexpected end of statement while looking for matching double-quote'],
    ['EXPOSE 70000', 'invalid containerPort: 70000'],
    ['EXPOSE 9-8', 'invalid containerPort: 9-8'],
    ['ONBUILD FROM x', "FROM isn't allowed as an ONBUILD trigger"],
    ['HEALTHCHECK CMD', 'Missing command after HEALTHCHECK CMD'],
    ['HEALTHCHECK --bogus=1 CMD x', 'Unknown flag: bogus'],
    ['HEALTHCHECK --interval=x CMD x', 'time: invalid duration "x"'],
  ] as const) {
    test(change, () => {
      let caught: unknown;
      try {
        applyChanges({}, [change]);
      } catch (error) {
        caught = error;
      }
      expect(messageOf(caught)).toBe(message);
      expect(kindOf(caught)).toBe('invalid-parameter');
    });
  }
});

test('variables are those of the image, where a Dockerfile replaces them', () => {
  const { Env, Cmd, WorkingDir } = applyChanges({ Env: ['PATH=/bin', 'A=x'] }, [
    'ENV PATH=/usr/bin:$PATH B="${A:-y}z"',
    "ENV C='$A'",
    'WORKDIR /$A',
    'CMD echo $A',
  ]);
  expect(Env).toEqual(['PATH=/usr/bin:/bin', 'A=x', 'B=xz', 'C=$A']);
  expect(WorkingDir).toBe('/x');
  expect(Cmd).toEqual(['/bin/sh', '-c', 'echo $A']);
});
