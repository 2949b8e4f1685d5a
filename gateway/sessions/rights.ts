/** What one admitted device may do: a role with its variables filled in. Denied unless granted. */
import type { MessageLimits } from '#common/contract/message-limits.ts';
import { Fault } from '#common/fault.ts';

export interface Rights {
  /** Topic without wildcards. */
  mayPublish(topic: string, qos: number, retain: boolean): boolean;
  /**
   * The highest QoS granted for a filter, or null. A filter is granted when a rule's pattern covers every topic that
   * it can match; `$share/<group>/<filter>` is judged as `<filter>`.
   */
  maySubscribe(filter: string): 0 | 1 | 2 | null;
  /** Whether some subscribe rule covers the topic: asked again at every delivery, since roles change. */
  mayReceive(topic: string): boolean;
  /** A rule that names methods grants nothing to a request without one. */
  mayRequest(path: string, method?: string): boolean;
  /** Whether a Will on this topic leaves even when the session is cut off: a Sparkplug NDEATH, when the role says so. */
  mayHaveLastWord(topic: string): boolean;
  /** How much it may send; null for as much as it likes. */
  readonly limits: MessageLimits | null;
  readonly severalSessions: boolean;
  /** Nothing but renewing its certificate, which is outside its validity. */
  readonly renewalOnly: boolean;
}

/** Why something was not granted: `fault`, unless it is for the certificate's validity that nothing is. */
export const denial = ({ renewalOnly }: Rights, fault: Fault): Fault =>
  renewalOnly
    ? new Fault(
        'renewal-only',
        'This certificate is outside its validity: renew it; nothing else is allowed.',
      )
    : fault;
