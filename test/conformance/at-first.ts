/** How Fleetgate stood on the day these tests first ran, and what was mended since. Kept by hand. */
import type { Version } from './statement.ts';

export const atFirst: {
  readonly figures: Readonly<Record<Version, string>>;
  readonly mended: readonly { readonly clauses: readonly string[]; readonly what: string }[];
} = {
  figures: { 4: '118 of 127', 5: '185 of 221' },
  mended: [],
};
