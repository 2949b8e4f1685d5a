/** How a certificate says which claim it was issued by, and how those are found by their index. */
import { type RawBuilder, sql } from 'kysely';

export const sourceOfClaim = (id: string): string => `claim:${id}`;

/** True of certificates that a claim has issued: the range is what the partial index `certificates_by_claim` holds. */
export const ofClaim = (id: string): RawBuilder<boolean> =>
  sql<boolean>`source >= 'claim:' AND source < 'claim;' AND source = ${sourceOfClaim(id)}`;
