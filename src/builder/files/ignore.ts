/** .dockerignore and --exclude while files are walked: the state of each directory is known, so each name is matched once. */
import { IgnoreMatcher, type IgnoreState } from '../dockerfile/ignore.ts';

export interface Ignored {
  /** Whether the file or directory at this path is left out. */
  ignores(path: string): boolean;
  /** Whether something in a directory that is left out may be wanted. */
  enters(path: string): boolean;
  /** Whether nothing in a directory is left out, whatever it is called. */
  leaves(path: string): boolean;
}

const nothing: Ignored = { ignores: () => false, enters: () => true, leaves: () => true };

/** Errors: invalid-parameter for a pattern that cannot be read. */
export function ignoreRule(patterns: readonly string[]): Ignored {
  if (patterns.length === 0) return nothing;
  const matcher = new IgnoreMatcher(patterns);
  if (matcher.empty) return nothing;
  const states = new Map<string, IgnoreState>([['', matcher.root]]);
  const parentOf = (path: string): IgnoreState => {
    const slash = path.lastIndexOf('/');
    const parent = slash < 0 ? '' : path.slice(0, slash);
    let state = states.get(parent);
    if (state === undefined) {
      state = matcher.stateOf(parent);
      states.set(parent, state);
    }
    return state;
  };
  const stateOf = (path: string): IgnoreState =>
    path === '' ? matcher.root : matcher.child(parentOf(path), path.slice(path.lastIndexOf('/') + 1));
  return {
    ignores: (path) => stateOf(path).ignored,
    enters: (path) => {
      const state = stateOf(path);
      states.set(path, state);
      return matcher.enters(state);
    },
    leaves: (path) => matcher.leaves(stateOf(path)),
  };
}

/** Of two rules. */
export function both(a: Ignored, b: Ignored): Ignored {
  return {
    ignores: (path) => a.ignores(path) || b.ignores(path),
    enters: (path) => (!a.ignores(path) || a.enters(path)) && (!b.ignores(path) || b.enters(path)),
    leaves: (path) => a.leaves(path) && b.leaves(path),
  };
}

/** Paths from the root as a rule sees them that knows them from `base` only. */
export function below(base: string, rule: Ignored): Ignored {
  if (base === '') return rule;
  const relative = (path: string): string => (path.startsWith(`${base}/`) ? path.slice(base.length + 1) : '');
  return {
    ignores: (path) => rule.ignores(relative(path)),
    enters: (path) => rule.enters(relative(path)),
    leaves: (path) => rule.leaves(relative(path)),
  };
}
