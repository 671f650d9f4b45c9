import { expect, test } from 'bun:test';
import { BUILTINS } from './builtins.ts';
import { execute } from './execute.ts';
import { TemplateError } from './nodes.ts';
import { parseTemplate } from './parser.ts';

const NAMES = new Set(Object.keys(BUILTINS));
const value = { a: 'x', list: [1, 2, 3], map: { k: 'v', j: 'w' }, nested: { deep: { er: true } }, zero: 0, no: null };
const run = (source: string) => execute(parseTemplate(source, NAMES), value);

test('what Go prints', () => {
  const said: Record<string, string> = {
    '{{range $i, $v := .list}}{{if $i}},{{end}}{{$v}}{{end}}': '1,2,3',
    '{{range $k, $v := .map}}{{$k}}={{$v}};{{end}}': 'j=w;k=v;',
    '{{with .nested.deep}}{{.er}}{{$.a}}{{end}}': 'truex',
    '{{$x := 1}}{{range .list}}{{$x = .}}{{end}}{{$x}}': '3',
    '{{define "r"}}{{if .}}{{index . 0}}{{template "r" (slice . 1)}}{{end}}{{end}}{{template "r" .list}}': '123',
    '{{if .none}}a{{else if .zero}}b{{else}}{{.a}}{{end}}': 'x',
    'a  {{- 1 -}}  b': 'a1b',
    '{{/* c */ -}}  b': 'b',
    '{{printf "%5.1f|%-5s|%05d|%x|%q|%v" 3.14159 "ab" 42 "hi" "q\\"" .map}}':
      '  3.1|ab   |00042|6869|"q\\""|map[j:w k:v]',
    '{{.missing}} {{.no}}': '<no value> <no value>',
  };
  for (const [source, expected] of Object.entries(said)) expect(run(source)).toBe(expected);
});

test('whatever is written, the answer is a text or a message with a place', () => {
  const seed = Number(process.env['BERTH_FUZZ_SEED'] ?? Date.now() % 1e9);
  let state = seed;
  const random = (n: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % n;
  };
  const words =
    '{{ }} {{- -}} if else end range with define "n" template block break continue . .a .list .map.k .nested $ $x := = , | ( ) 1 -1 1.5 0x1 \'c\' `r` "s" nil true len index slice printf "%d%s" eq lt and or not /* */ \n {{.}}'.split(
      ' ',
    );
  for (let i = 0; i < 20_000; i++) {
    const source = Array.from({ length: 1 + random(12) }, () => words[random(words.length)]).join(random(3) ? ' ' : '');
    try {
      execute(parseTemplate(source, NAMES), value);
    } catch (error) {
      if (!(error instanceof TemplateError))
        throw new Error(`seed ${seed}: ${JSON.stringify(source)}`, { cause: error });
      expect(error.message).toStartWith('template: ');
    }
  }
});
