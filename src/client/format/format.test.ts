import { describe, expect, test } from 'bun:test';
import { ago, ellipsis, goJson, localNanoseconds, shortId } from './human.ts';
import { printListing } from './listing.ts';
import { formatTable } from './table.ts';
import { goPrint, parseTemplate, render } from './template.ts';

test('columns are as wide as their widest cell, at least ten, the last is not padded', () => {
  expect(
    formatTable([
      ['CONTAINER ID', 'IMAGE', 'NAMES'],
      ['03e2c03bbffc', 'bb', 'c2'],
      ['94bbd23f6398', 'a-long-image-name', ''],
    ]),
  ).toBe(
    [
      'CONTAINER ID   IMAGE               NAMES',
      '03e2c03bbffc   bb                  c2',
      '94bbd23f6398   a-long-image-name   ',
      '',
    ].join('\n'),
  );
});

describe('templates', () => {
  const value = {
    Id: 'x',
    State: { Status: 'running', Pid: 7 },
    Tags: ['a', 'b'],
    Labels: { z: '1', a: '<2>' },
    None: null,
  };
  for (const [source, expected] of [
    ['{{.State.Status}}', 'running'],
    ['{{ .State.Pid }}/{{.Id}}', '7/x'],
    ['{{.ID}}', 'x'],
    ['{{.Tags}}', '[a b]'],
    ['{{.Labels}}', 'map[a:<2> z:1]'],
    ['{{.None}}', '<nil>'],
    ['{{json .Labels}}', '{"a":"<2>","z":"1"}'],
    ['{{json .State}}', '{"Status":"running","Pid":7}'],
    ['plain', 'plain'],
  ] as const) {
    test(source, () => expect(render(parseTemplate(source), value)).toBe(expected));
  }
  test('an open action is an error', () => expect(() => parseTemplate('{{.Id')).toThrow('unclosed action'));
  test('an unknown field is an error', () => {
    expect(() => render(parseTemplate('{{.Nope}}'), value)).toThrow('no entry for key "Nope"');
    expect(() => render(parseTemplate('{{.Id.Nope}}'), value)).toThrow(
      "can't evaluate field Nope in type interface {}",
    );
  });
});

test("Go's %v", () =>
  expect([true, 1.5, '', [], {}].map((v) => goPrint(v))).toEqual(['true', '1.5', '', '[]', 'map[]']));

describe('listings', () => {
  const listing = {
    rows: [
      { Name: 'one', ID: 'a1' },
      { Name: 'two', ID: 'b2' },
    ],
    columns: ['ID', 'Name'],
    headings: { ID: 'IMAGE ID', Name: 'NAME' },
    quietField: 'ID',
  };
  for (const [format, quiet, expected] of [
    ['', false, 'IMAGE ID   NAME\na1         one\nb2         two\n'],
    ['table', false, 'IMAGE ID   NAME\na1         one\nb2         two\n'],
    ['', true, 'a1\nb2\n'],
    ['json', false, '{"ID":"a1","Name":"one"}\n{"ID":"b2","Name":"two"}\n'],
    ['{{json .}}', false, '{"ID":"a1","Name":"one"}\n{"ID":"b2","Name":"two"}\n'],
    ['{{.Name}}: {{.ID}}', false, 'one: a1\ntwo: b2\n'],
    ['table {{.Name}}\t{{.ID}}', false, 'NAME      IMAGE ID\none       a1\ntwo       b2\n'],
  ] as const) {
    test(`${format} ${quiet ? '-q' : ''}`, () => expect(printListing(listing, { format, quiet })).toBe(expected));
  }
});

test('ids, ages, texts', () => {
  expect(shortId('sha256:e40622373c4b06023131ceb5')).toBe('e40622373c4b');
  expect(shortId('e40622373c4b06023131ceb5')).toBe('e40622373c4b');
  expect(ago(1000, 1_000_000 + 61_000)).toBe('About a minute ago');
  expect(ellipsis('sleep 100000000000000', 20)).toBe('sleep 1000000000000…');
  expect(ellipsis('sleep', 20)).toBe('sleep');
  expect(goJson({ a: '<&>' })).toBe('{"a":"<&>"}');
});

test('nanoseconds of an event', () => {
  expect(localNanoseconds(1_000_000_000, 1_000_000_000_250_000_001n)).toMatch(/^2001-09-09T\d\d:46:40\.250000001/);
});
