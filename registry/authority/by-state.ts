/** Rows as an audit entry of many tells of them: their names, under the state that each was in. */

export function byState<Name extends string>(
  rows: readonly ({ readonly state: string } & { readonly [K in Name]: string | null })[],
  name: Name,
): Record<string, (string | null)[]> {
  const groups = Object.entries(Object.groupBy(rows, ({ state }) => state));
  return Object.fromEntries(groups.map(([state, some = []]) => [state, some.map((row) => row[name])]));
}
