/** A list that is drawn anew when containers change, and each second for its ages. */
import { systemEvents } from '#api/client/system.ts';
import type { CommandContext } from '../command.ts';
import { frameOf, mayDraw, screenSize } from '../terminal/screen.ts';

const AGES_MS = 1000;

/** Ends with the daemon; Ctrl-C ends the program. Into a pipe only what has changed is written. */
export async function drawAnew(context: CommandContext, picture: (room?: number) => Promise<string>): Promise<number> {
  const { io, environment } = context;
  const drawn = mayDraw(context);
  let last: string | undefined;
  let drawing: Promise<void> | undefined;
  const draw = async () => {
    const text = await picture(drawn ? screenSize(environment).columns : undefined);
    if (drawn) io.out(frameOf(text, screenSize(environment)));
    else if (text !== last) io.out(text);
    last = text;
  };
  /** One at a time; what is asked for meanwhile is seen by the next tick. */
  const again = () => (drawing ??= draw().finally(() => (drawing = undefined)));
  const events = systemEvents(context.client(), { since: '', until: '', filters: new Map([['type', ['container']]]) });
  const { promise: failed, reject } = Promise.withResolvers<never>();
  const timer = setInterval(() => void again().catch(reject), AGES_MS);
  const resized = () => setImmediate(() => void again().catch(reject));
  process.on('SIGWINCH', resized);
  const follow = async () => {
    for await (const _ of events) void again().catch(reject);
  };
  try {
    await draw();
    await Promise.race([follow(), failed]);
  } finally {
    clearInterval(timer);
    process.off('SIGWINCH', resized);
  }
  return 0;
}
