/** What was found out about a certificate that the directory does not know, before it is judged. */
import type { DirectoryEntry } from '#common/contract/directory.ts';
import type { Fault } from '#common/fault.ts';

export interface Finding {
  /** In words, for the journal: where the path leads, or why nowhere. */
  readonly path: string;
  /** Why no path holds; null when one does. */
  readonly pathFault: Fault | null;
  /** What the registry said, in words; null when it was not asked. */
  readonly introduction: string | null;
  /** Why the certificate is not let in although a path holds; null when the registry has recorded it. */
  readonly fault: Fault | null;
  /** As the registry has recorded it: known here before the feed brings it. */
  readonly entry: DirectoryEntry | undefined;
}
