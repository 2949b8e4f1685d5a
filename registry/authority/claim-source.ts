/** How a certificate says which claim it was issued by, and how those are found by their index. */
import { type RawBuilder, sql } from 'kysely';

const prefix = 'claim:';

export const sourceOfClaim = (id: string): string => `${prefix}${id}`;

export const isOfClaim = (source: string): boolean => source.startsWith(prefix);

/**
 * True of certificates that a claim has issued, at once or after an approval. The range is that of the partial index
 * `certificates_by_claim`; a claim's approvals are kept for good, so that none of them is missed.
 */
export const ofClaim = (id: string): RawBuilder<boolean> =>
  sql<boolean>`source >= 'approval:' AND source < 'claim;' AND source IN (
    SELECT ${sourceOfClaim(id)} UNION ALL
    SELECT 'approval:' || id FROM enrollments WHERE source = ${sourceOfClaim(id)} AND state = 'issued'
  )`;
