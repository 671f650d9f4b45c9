/**
 * The logs of several containers side by side, each line whole, with the container's name before it. Lines of one
 * container keep their order; between containers it is that of their arrival.
 */
import { inspectContainer } from '#api/client/containers.ts';
import type { CommandContext } from '../command.ts';
import { OutputPort } from '../terminal/output-port.ts';
import { mayColour } from '../terminal/screen.ts';
import { LinePrefixer } from './line-prefixer.ts';
import { type LogsQuery, streamLogs } from './log-stream.ts';
import { nameColour } from './name-colour.ts';

export async function logsOfMany(
  context: CommandContext,
  containers: readonly string[],
  query: LogsQuery,
): Promise<number> {
  const client = context.client();
  const found = [];
  // All of them before the first byte: a wrong name is told before, not in the middle of output.
  for (const container of new Set(containers)) found.push(await inspectContainer(client, container));
  const names = found.map(({ Name }) => Name.replace(/^\//, ''));
  const width = Math.max(...names.map((name) => name.length));
  const stdout = new OutputPort(1);
  const stderr = new OutputPort(2);
  const colours = mayColour(context);
  const outcomes = await Promise.allSettled(
    found.map(async (inspected, i) => {
      const name = (names[i] ?? '').padEnd(width);
      const prefix = colours ? `${nameColour(i)}${name} |\u001b[0m ` : `${name} | `;
      const lines = { stdout: new LinePrefixer(prefix), stderr: new LinePrefixer(prefix) };
      await streamLogs(client, inspected, query, {
        stdout: (bytes) => stdout.write(lines.stdout.push(bytes)),
        stderr: (bytes) => stderr.write(lines.stderr.push(bytes)),
      });
      await stdout.write(lines.stdout.end());
      await stderr.write(lines.stderr.end());
    }),
  );
  const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
  for (const { reason } of failed) context.io.err(`${reason instanceof Error ? reason.message : String(reason)}\n`);
  return failed.length === 0 ? 0 : 1;
}
