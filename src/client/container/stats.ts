/** `stats`: once, or as a table that is drawn anew twice a second. */
import { inspectContainer } from '#api/client/containers.ts';
import { statsOnce } from '#api/client/stats.ts';
import type { ContainerStats } from '#api/types/stats.ts';
import { type CommandContext, defineCommand } from '../command.ts';
import { formatFlag, formatOr, noTruncFlag } from '../common-flags.ts';
import { flag } from '../flags/flag-spec.ts';
import { printListing } from '../format/listing.ts';
import { describeFailure } from '../failure.ts';
import { frameOf, mayDraw, screenSize } from '../terminal/screen.ts';
import { Board, listed, nameOf, type Watched, watchEvents } from './stats-board.ts';
import { statsRow } from './stats-row.ts';

const HEADINGS = {
  Container: 'CONTAINER',
  Name: 'NAME',
  ID: 'CONTAINER ID',
  CPUPerc: 'CPU %',
  MemUsage: 'MEM USAGE / LIMIT',
  MemPerc: 'MEM %',
  NetIO: 'NET I/O',
  BlockIO: 'BLOCK I/O',
  PIDs: 'PIDS',
};
const COLUMNS = ['ID', 'Name', 'CPUPerc', 'MemUsage', 'MemPerc', 'NetIO', 'BlockIO', 'PIDs'];
const REDRAW_MS = 500;

export const stats = defineCommand({
  operands: '[CONTAINER...]',
  count: [0, Infinity],
  flags: {
    all: flag('Show all containers (default shows just running)', { shorthand: 'a' }),
    format: formatFlag(),
    'no-stream': flag('Disable streaming stats and only pull the first result'),
    'no-trunc': noTruncFlag(),
  },
  examples: ['berth stats --no-stream', "berth stats --format '{{.Name}}: {{.CPUPerc}}'"],
  async run(context, { values, positionals }) {
    const { format } = formatOr(context, values, 'statsFormat');
    const print: Print = (frames, room) => {
      const rows = frames.map(([container, frame]) => statsRow(container, frame, values['no-trunc']));
      const listing = { rows, columns: COLUMNS, headings: HEADINGS, quietField: 'ID' };
      return printListing(listing, { format, quiet: false, room });
    };
    if (values['no-stream']) return once(context, positionals, values.all, print);
    return follow(context, positionals, values.all, print);
  },
});

/** `room`: columns of the screen, if it is for one. */
type Print = (frames: readonly (readonly [Watched, ContainerStats | undefined])[], room?: number) => string;

async function once(
  { client, io }: CommandContext,
  names: readonly string[],
  all: boolean,
  print: Print,
): Promise<number> {
  const api = client();
  const asked = names.length > 0 ? names : (await listed(api, all)).map(({ id }) => id);
  const answers = await Promise.allSettled(asked.map((name) => statsOnce(api, name)));
  const frames = answers.flatMap((answer, i) => {
    if (answer.status !== 'fulfilled') return [];
    const { id, name } = answer.value;
    return [[{ id, name: nameOf(name), ...askedAs(names[i]) }, answer.value] as const];
  });
  const failures = answers.flatMap((answer) => (answer.status === 'rejected' ? [describeFailure(answer.reason)] : []));
  // Of all containers some may go while we ask; one that was named has to be there.
  if (names.length > 0 && failures.length > 0) {
    io.err(`${failures.join('\n')}\n`);
    return 1;
  }
  io.out(print(frames));
  return 0;
}

const askedAs = (asked: string | undefined): { asked?: string } => (asked === undefined ? {} : { asked });

/** Ends when the last named container is gone, or with the daemon. */
async function follow(context: CommandContext, names: readonly string[], all: boolean, print: Print): Promise<number> {
  const { io, environment } = context;
  const api = context.client();
  const board = new Board(api);
  const { promise: over, resolve: end, reject: lost } = Promise.withResolvers<void>();
  board.onLost = lost;
  if (names.length > 0) {
    board.onEmpty = end;
    const found = await Promise.all(names.map((name) => inspectContainer(api, name)));
    for (const [i, { Id, Name }] of found.entries()) board.add({ id: Id, name: nameOf(Name), ...askedAs(names[i]) });
  } else {
    // Before the list: what starts in between is told.
    void watchEvents(api, board, all).then(end, lost);
    for (const watched of await listed(api, all)) board.add(watched);
  }
  const drawn = mayDraw(context);
  const draw = () => {
    const size = screenSize(environment);
    io.out(drawn ? frameOf(print(board.frames(), size.columns), size) : print(board.frames()));
  };
  const timer = setInterval(draw, REDRAW_MS);
  try {
    await over;
  } finally {
    clearInterval(timer);
  }
  return 0;
}
