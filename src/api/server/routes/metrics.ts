/** `GET /metrics`: on the API's own addresses, and alone on `metrics-addr`. */
import { type ServerFacts, systemMetrics } from '#api/jobs/metrics.ts';
import { OPENMETRICS_TYPE } from '#pkg/openmetrics/openmetrics.ts';
import { type Route, route } from '../route.ts';

export function metricsRoutes(facts: () => ServerFacts): readonly Route[] {
  return [
    route('GET', '/metrics', 24, 'read metrics', async (ctx) => {
      const text = await ctx.run(systemMetrics, { server: facts() });
      ctx.exchange.respond(200, OPENMETRICS_TYPE, text);
    }),
  ];
}
