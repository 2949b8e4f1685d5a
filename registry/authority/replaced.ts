/** Which certificates the devices have moved on from: a condition in SQL, for those who count what has not been renewed. */
import { type RawBuilder, sql } from 'kysely';

/**
 * True of a certificate `c` that is in use, or was to be: no later one of its device has been used, be it by renewal or by
 * another enrollment. One that was issued and never used replaces nothing. A claim certificate is of no device, and is
 * never renewed.
 */
export const notReplaced: RawBuilder<boolean> = sql<boolean>`c.device <> '' AND c.retire_ms IS NULL AND NOT EXISTS (
  SELECT 1 FROM certificates n WHERE n.device = c.device AND n.state = 'issued' AND n.used_ms IS NOT NULL
    AND n.reserved_ms > c.reserved_ms AND n.not_after_ms >= c.not_after_ms)`;
