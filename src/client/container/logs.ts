/** `logs`. */
import { containerLogs, inspectContainer } from '#api/client/containers.ts';
import { demultiplex } from '#api/client/demultiplex.ts';
import { defineCommand } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { OutputPort } from '../terminal/output-port.ts';
import { timestampOf } from './timestamp.ts';

export const logs = defineCommand({
  operands: 'CONTAINER',
  count: [1, 1],
  flags: {
    details: flag('Show extra details provided to logs'),
    follow: flag('Follow log output', { shorthand: 'f' }),
    since: text('Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'),
    tail: text('Number of lines to show from the end of the logs', { shorthand: 'n', initial: 'all' }),
    timestamps: flag('Show timestamps', { shorthand: 't' }),
    until: text('Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)'),
  },
  async run(context, { values, positionals: [container = ''] }) {
    const client = context.client();
    const { Id, Config } = await inspectContainer(client, container);
    const now = new Date();
    const response = await containerLogs(client, Id, {
      follow: values.follow,
      since: timestampOf('since', values.since, now),
      until: timestampOf('until', values.until, now),
      timestamps: values.timestamps,
      tail: values.tail,
      details: values.details,
    });
    if (response.body === null) return;
    const stdout = new OutputPort(1);
    const stderr = new OutputPort(2);
    const body: AsyncIterable<Uint8Array> = response.body;
    if (Config.Tty) for await (const chunk of body) await stdout.write(chunk);
    else {
      await demultiplex(body, {
        stdout: (bytes) => stdout.write(bytes),
        stderr: (bytes) => stderr.write(bytes),
      });
    }
  },
});
