/**
 * `logs`: of one container as docker's; of several at once, each line with the container's name before it; and `--grep`,
 * which searches the logs of containers, of those that were removed too.
 */
import { inspectContainer } from '#api/client/containers.ts';
import { type CommandContext, defineCommand, UsageError } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { OutputPort } from '../terminal/output-port.ts';
import { type LogsQuery, streamLogs } from './log-stream.ts';
import { timestampOf } from './timestamp.ts';

export const logs = defineCommand({
  operands: 'CONTAINER [CONTAINER...]',
  count: [0, Infinity],
  flags: {
    details: flag('Show extra details provided to logs'),
    follow: flag('Follow log output', { shorthand: 'f' }),
    grep: text('Show lines that match a regular expression, of all containers if none is named, removed ones too'),
    since: text('Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'),
    tail: text('Number of lines to show from the end of the logs', { shorthand: 'n', initial: 'all' }),
    timestamps: flag('Show timestamps', { shorthand: 't' }),
    until: text('Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'),
  },
  examples: [
    'berth logs -f web db',
    'berth logs --grep "timeout|refused" --since 1h',
    'berth logs --grep panic job-that-is-gone',
  ],
  async run(context, { values, positionals, given }) {
    const now = new Date();
    const since = timestampOf('since', values.since, now);
    const until = timestampOf('until', values.until, now);
    if (given.has('grep')) {
      for (const name of ['follow', 'tail', 'details'] as const) {
        if (given.has(name)) throw new UsageError(`'berth ${context.path}' cannot combine --grep and --${name}`);
      }
      const { searchLogs } = await import('./search-logs.ts');
      return searchLogs(context, { ...values, pattern: values.grep, containers: positionals, since, until });
    }
    if (positionals.length === 0) throw new UsageError(`'berth ${context.path}' requires at least 1 argument`);
    const { follow, timestamps, tail, details } = values;
    const query: LogsQuery = { follow, since, until, timestamps, tail, details };
    if (positionals.length === 1) return logsOfOne(context, positionals[0] ?? '', query);
    const { logsOfMany } = await import('./logs-of-many.ts');
    return logsOfMany(context, positionals, query);
  },
});

async function logsOfOne(context: CommandContext, container: string, query: LogsQuery): Promise<void> {
  const client = context.client();
  const inspected = await inspectContainer(client, container);
  const stdout = new OutputPort(1);
  const stderr = new OutputPort(2);
  await streamLogs(client, inspected, query, {
    stdout: (bytes) => stdout.write(bytes),
    stderr: (bytes) => stderr.write(bytes),
  });
}
