/** Finds the route of a request. Rows are grouped by method and first segment; within a group the first match wins. */
import type { Route } from './route.ts';

interface Compiled {
  readonly route: Route;
  readonly pattern: RegExp;
  readonly names: readonly string[];
}

export interface Match {
  readonly route: Route;
  readonly param: (name: string) => string;
}

export class Router {
  readonly #groups = new Map<string, Compiled[]>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const key = groupOf(route.method, route.path);
      const group = this.#groups.get(key) ?? [];
      group.push(compile(route));
      this.#groups.set(key, group);
    }
  }

  find(method: string, path: string): Match | undefined {
    for (const { route, pattern, names } of this.#groups.get(groupOf(method, path)) ?? []) {
      const match = pattern.exec(path);
      if (match === null) continue;
      return { route, param: (name) => match[names.indexOf(name) + 1] ?? '' };
    }
    // As dockerd's `/networks/`: a slash at the end means nothing.
    return path.length > 1 && path.endsWith('/') ? this.find(method, path.slice(0, -1)) : undefined;
  }
}

function groupOf(method: string, path: string): string {
  const end = path.indexOf('/', 1);
  return `${method} ${end < 0 ? path : path.slice(0, end)}`;
}

function compile(route: Route): Compiled {
  const names: string[] = [];
  const source = route.path.replace(/\{([a-z]+)(\.\.\.)?\}|[.*+?^$()|[\]\\]/g, (all, name: string, many: string) => {
    if (name === undefined) return `\\${all}`;
    names.push(name);
    return many === undefined ? '([^/]+)' : '(.+)';
  });
  return { route, names, pattern: new RegExp(`^${source}$`) };
}
