/** The set with `key` taken out if it was in, and put in if it was not. */
export function flipped<T>(set: ReadonlySet<T>, key: T): Set<T> {
  const next = new Set(set);
  if (!next.delete(key)) next.add(key);
  return next;
}
