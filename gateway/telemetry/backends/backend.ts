/** A backend: a place that takes events for good. Each is one small module, loaded only when it is configured. */
import type { DeviceEvent } from '#common/contract/event.ts';

export type Delivery =
  /** All of them are the backend's now. */
  | { readonly outcome: 'accepted' }
  /** None or some may have arrived: all are sent again. */
  | { readonly outcome: 'retry'; readonly reason: string; readonly retryAfterMs?: number }
  /** Sent again, they would be refused again. */
  | { readonly outcome: 'poison'; readonly reason: string };

export interface Backend extends AsyncDisposable {
  /** Most events of one delivery. */
  readonly batch: number;
  /** Never throws for what the other side does: that is an outcome. */
  deliver(events: readonly DeviceEvent[]): Promise<Delivery>;
}
