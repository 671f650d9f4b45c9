/** `GET /containers/{id}/stats`. */
import { containerStats, type StatsInput } from '#api/jobs/stats.ts';
import { invalidParameter } from '#errdefs/errors.ts';
import type { RouteContext } from '../route.ts';
import { wideJson } from '../wide-json.ts';
import { streamJob } from './streaming.ts';

const ONE_SHOT_SINCE = 41;

function modeOf({ query, minor }: RouteContext): StatsInput['mode'] {
  const stream = query.has('stream') ? query.flag('stream') : true;
  const oneShot = minor >= ONE_SHOT_SINCE && query.flag('one-shot');
  if (stream && oneShot) throw invalidParameter('cannot have stream=true and one-shot=true');
  return stream ? 'stream' : oneShot ? 'one-shot' : 'once';
}

export async function stats(ctx: RouteContext): Promise<void> {
  const mode = modeOf(ctx);
  const output = ctx.exchange.stream(200, 'application/json');
  await streamJob(output, () =>
    ctx.run(containerStats, {
      container: ctx.param('id'),
      mode,
      accepted: () => {
        if (mode === 'stream') output.flush();
      },
      emit: (frame) => output.write(Buffer.from(`${wideJson(frame)}\n`)),
    }),
  );
}
