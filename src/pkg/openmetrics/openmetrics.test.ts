import { describe, expect, test } from 'bun:test';
import { MetricsText } from './openmetrics.ts';
import { parseOpenMetrics } from './parse.ts';

test('what is written is read back', () => {
  const out = new MetricsText();
  out.info('app_build', 'Who.', { version: '1' });
  out.counter('app_requests', 'All "of" them\\so far.', [
    { labels: { path: '/a"b\\c\nd' }, value: 18446744073709551615n },
    { labels: { path: '' }, value: 0.5 },
  ]);
  out.gauge('app_nothing', 'Empty.', []);
  out.histogram('app_seconds', 'How long.', [
    {
      labels: { job: 'x' },
      buckets: [
        [0.5, 1],
        [1, 3],
      ],
      count: 4,
      sum: 2.5,
    },
  ]);
  const text = out.end();
  expect(text).toContain('app_requests_total{path="/a\\"b\\\\c\\nd"} 18446744073709551615\n');
  expect(text).toContain('app_seconds_bucket{job="x",le="1.0"} 3\n');
  const families = parseOpenMetrics(text);
  expect([...families.keys()]).toEqual(['app_build', 'app_requests', 'app_nothing', 'app_seconds']);
  expect(families.get('app_requests')?.samples[0]?.labels['path']).toBe('/a"b\\c\nd');
  expect(families.get('app_seconds')?.samples.map(({ value }) => value)).toEqual([1, 3, 4, 4, 2.5]);
});

test('a family is written once', () => {
  const out = new MetricsText();
  out.gauge('app_x', '', []);
  expect(() => out.gauge('app_x', '', [])).toThrow('family of its own');
});

describe('the reader refuses', () => {
  const head = '# TYPE a counter\n# HELP a x\n';
  for (const [what, text] of [
    ['no end', `${head}a_total 1\n`],
    ['a sample before its family', 'a_total 1\n# EOF\n'],
    ['the wrong suffix', `${head}a 1\n# EOF\n`],
    ['a sample twice', `${head}a_total 1\na_total 2\n# EOF\n`],
    ['a family twice', `${head}${head}# EOF\n`],
    ['an open quote', `${head}a_total{b="c} 1\n# EOF\n`],
    ['a negative count', `${head}a_total -1\n# EOF\n`],
    ['buckets that go down', '# TYPE h histogram\n# HELP h x\nh_bucket{le="1.0"} 2\nh_bucket{le="+Inf"} 1\n# EOF\n'],
  ] as const) {
    test(what, () => expect(() => parseOpenMetrics(text)).toThrow());
  }
});
