/** What every front of a door is handed: one set for all of them. */
import type { Clock } from '#common/clock.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import type { Corridor } from '../admission/verdict.ts';
import type { CommandDesk } from '../commands/desk.ts';
import type { Replies } from '../commands/replies.ts';
import type { Ownership } from '../sessions/ownership.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { MqttSettings } from '../settings.ts';
import type { Intake } from '../telemetry/intake.ts';
import type { Broker } from './broker.ts';
import type { Deadlines } from './deadlines.ts';
import type { TakeOverParts } from './entrance.ts';
import type { LaneParts } from './lane.ts';
import type { Renewals } from './renewal.ts';

export interface FrontParts extends Pick<LaneParts, 'meters'>, Pick<TakeOverParts, 'clones'> {
  settings: MqttSettings;
  corridor: Corridor;
  sessions: Sessions;
  ownership: Ownership;
  intake: Intake;
  broker: Broker;
  renewals: Renewals;
  commands: CommandDesk;
  replies: Replies;
  deadlines: Deadlines;
  clock: Clock;
  log: Logger;
  metrics: Metrics;
}
