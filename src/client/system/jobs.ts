/** `jobs` and `jobs cancel`: what the daemon is doing, who asked, and how it ended. Berth's own. */
import { cancelJob, listJobs } from '#api/client/system.ts';
import { defineCommand } from '../command.ts';
import { formatFlag, quietFlag } from '../common-flags.ts';
import { forEachName } from '../each.ts';
import { flag } from '../flags/flag-spec.ts';
import { ago, ellipsis, shortId } from '../format/human.ts';
import { printListing } from '../format/listing.ts';

const HEADINGS = {
  ID: 'JOB ID',
  Name: 'JOB',
  Subject: 'SUBJECT',
  Status: 'STATUS',
  Source: 'ASKED BY',
  Started: 'STARTED',
  Duration: 'DURATION',
  Error: 'ERROR',
};
const COLUMNS = ['ID', 'Name', 'Subject', 'Status', 'Source', 'Started', 'Duration', 'Error'];
const SUBJECT_LENGTH = 30;
const ERROR_LENGTH = 60;

export const jobs = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {
    format: formatFlag(),
    'no-trunc': flag("Don't truncate output"),
    quiet: quietFlag('Only display job IDs'),
    running: flag('Show only jobs that have not ended', { shorthand: 'r' }),
  },
  async run(context, { values }) {
    const now = Date.now();
    const whole = values['no-trunc'];
    const rows = (await listJobs(context.client()))
      .filter((job) => !values.running || job.Status === 'running')
      .map((job) => {
        const started = Date.parse(job.StartedAt);
        const who = [
          job.Source,
          job.Pid === undefined ? '' : `pid ${job.Pid}`,
          job.Uid === undefined ? '' : `uid ${job.Uid}`,
        ];
        return {
          ID: job.Id,
          Name: job.Name,
          Subject: whole ? job.Subject : ellipsis(shortSubject(job.Subject), SUBJECT_LENGTH),
          Status: job.Status,
          Source: who.filter((part) => part !== '').join(', '),
          Started: ago(started / 1000, now),
          Duration: formatMs(job.DurationMs ?? now - started),
          Error: whole ? (job.Error ?? '') : ellipsis(job.Error ?? '', ERROR_LENGTH),
          StartedAt: job.StartedAt,
          EndedAt: job.EndedAt ?? '',
          UserAgent: job.UserAgent ?? '',
          Remote: job.Remote ?? '',
        };
      });
    context.io.out(printListing({ rows, columns: COLUMNS, headings: HEADINGS, quietField: 'ID' }, values));
  },
});

export const cancelJobs = defineCommand({
  operands: 'JOB [JOB...]',
  count: [1, Infinity],
  flags: {},
  run: (context, { positionals }) => forEachName(context, positionals, (id) => cancelJob(context.client(), id)),
});

function shortSubject(subject: string): string {
  return /^(sha256:)?[0-9a-f]{64}$/.test(subject) ? shortId(subject) : subject;
}

function formatMs(ms: number): string {
  if (ms < 1000) return `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.trunc(ms / 60_000)} min`;
}
