/** The container whose output is logged, as far as log options refer to it: `tag`, `labels` and `env`. */
import { type LogOptions, parseExpression } from './option-values.ts';

export interface LogSubject {
  readonly containerId: string;
  readonly containerName: string;
  readonly imageId: string;
  readonly imageName: string;
  readonly daemonName: string;
  readonly labels: Readonly<Record<string, string>>;
  /** NAME=value. */
  readonly env: readonly string[];
  /** Entry point and arguments. */
  readonly command: readonly string[];
  /** RFC 3339. */
  readonly createdAt: string;
}

/** The options that choose labels and variables; every driver but local has them. */
export const attributeOptions = ['labels', 'labels-regex', 'env', 'env-regex'] as const;

export function checkAttributeOptions(options: LogOptions): void {
  parseExpression('labels-regex', options['labels-regex']);
  parseExpression('env-regex', options['env-regex']);
}

/** Labels and variables that the options name, sorted; a variable wins over a label of the same name. */
export function attributesOf(options: LogOptions, subject: LogSubject): Record<string, string> {
  const found: Record<string, string> = {};
  const take = (names: string | undefined, regex: RegExp | undefined, from: Iterable<readonly [string, string]>) => {
    const wanted = new Set((names ?? '').split(',').filter((name) => name !== ''));
    for (const [name, value] of from) if (wanted.has(name) || regex?.test(name) === true) found[name] = value;
  };
  take(options['labels'], parseExpression('labels-regex', options['labels-regex']), Object.entries(subject.labels));
  const variables = subject.env
    .filter((entry) => entry.includes('='))
    .map((entry) => {
      const at = entry.indexOf('=');
      return [entry.slice(0, at), entry.slice(at + 1)] as const;
    });
  take(options['env'], parseExpression('env-regex', options['env-regex']), variables);
  return sorted(found);
}

export function sorted(map: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(map).sort(([a], [b]) => (a < b ? -1 : 1)));
}
