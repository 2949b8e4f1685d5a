/**
 * The vocabulary of metrics: every name, type, label and help text in one place, at zero from the start.
 * No label ever holds a device id. docs/metrics.md lists the same names, and a law compares the two.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { commandStates } from './contract/command.ts';
import { eventClasses } from './contract/event.ts';
import { protocols } from './contract/receipt.ts';
import { faultKinds } from './fault.ts';

const latencyBuckets = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Opens a fresh set on a fresh registry: a process has one, a test as many as it likes. */
export function openMetrics() {
  const registry = new Registry();
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name: `fleetgate_${name}`, help, labelNames, registers: [registry] });
  /** `aggregator` says what the gauge of several workers together is. */
  const gauge = <L extends string>(
    name: string,
    help: string,
    labelNames: L[] = [],
    aggregator: 'sum' | 'max' | 'min' = 'sum',
  ) => new Gauge({ name: `fleetgate_${name}`, help, labelNames, aggregator, registers: [registry] });
  const histogram = <L extends string>(name: string, help: string, buckets: number[], labelNames: L[] = []) =>
    new Histogram({ name: `fleetgate_${name}`, help, buckets, labelNames, registers: [registry] });

  const metrics = {
    registry,
    connections: gauge('connections', 'Open sessions.', ['protocol']),
    connectsTotal: counter('connects_total', 'Decisions at the door.', ['protocol', 'result', 'reason']),
    connectSeconds: histogram('connect_seconds', 'From accepted socket to CONNACK.', latencyBuckets),
    tlsHandshakesTotal: counter('tls_handshakes_total', 'TLS handshakes.', ['version', 'resumed', 'result']),
    handshakesUnderWay: gauge('handshakes_under_way', 'TLS handshakes under way.'),
    handshakesWaiting: gauge('handshakes_waiting', 'Connections that wait for their TLS handshake.'),
    handshakesDroppedTotal: counter(
      'handshakes_dropped_total',
      'Connections whose place in the queue for a handshake went to a later one of their network.',
    ),
    takeoversTotal: counter(
      'takeovers_total',
      'Sessions that a newer one of the same client id has ended, by whether it came from the same address.',
      ['address'],
    ),
    flappingBansTotal: counter(
      'flapping_bans_total',
      'Times that a device was kept out for coming too often.',
    ),
    clonesSuspectedTotal: counter('clones_suspected_total', 'Times that a device was thought to be two.'),
    messagesAcceptedTotal: counter('messages_accepted_total', 'Events that became durable.', [
      'class',
      'protocol',
    ]),
    messagesDeliveredTotal: counter('messages_delivered_total', 'Events a backend has accepted.', [
      'backend',
    ]),
    messagesPending: gauge('messages_pending', 'Durable events a backend has not accepted yet.', ['backend']),
    messagesDeadLetteredTotal: counter('messages_dead_lettered_total', 'Events set aside.', [
      'backend',
      'reason',
    ]),
    messagesRefusedTotal: counter('messages_refused_total', 'Messages that were not accepted.', ['reason']),
    messagesMissedTotal: counter(
      'messages_missed_total',
      'Messages of QoS 0 that a subscriber missed because too much was waiting to be read by it.',
    ),
    messagesOverflowedTotal: counter(
      'messages_overflowed_total',
      'Messages of QoS 1 and 2 that a session missed because too many were stored for it.',
    ),
    sessionsKept: gauge('sessions_kept', 'Sessions that outlive their connections, here or away.', [], 'max'),
    messagesQueued: gauge('messages_queued', 'Messages of QoS 1 and 2 stored for sessions.', [], 'max'),
    messagesRetained: gauge('messages_retained', 'Retained messages.', [], 'max'),
    messagesWithheldTotal: counter(
      'messages_withheld_total',
      'Messages that were not sent to a subscriber: longer than it takes, or expired.',
      ['reason'],
    ),
    commandsTotal: counter('commands_total', 'Commands to devices.', ['result']),
    commandsPending: gauge('commands_pending', 'Commands that wait for their devices.'),
    commandSeconds: histogram(
      'command_seconds',
      'From the acceptance of a command to the acknowledgement of its device.',
      latencyBuckets,
    ),
    backendUp: gauge('backend_up', '1 while the last delivery went well.', ['backend'], 'min'),
    backendOldestPendingSeconds: gauge(
      'backend_oldest_pending_seconds',
      'Age of the oldest pending event.',
      ['backend'],
      'max',
    ),
    enrollmentsTotal: counter('enrollments_total', 'Enrollments.', ['result', 'reason']),
    renewalsTotal: counter('renewals_total', 'Renewals.', ['result', 'reason']),
    certificates: gauge('certificates', 'Certificates in the registry.', ['state']),
    certificatesExpiring: gauge(
      'certificates_expiring',
      'Certificates that expire within so long and are not replaced by one that is used.',
      ['within'],
    ),
    certificatesExpiredTotal: counter(
      'certificates_expired_total',
      'Certificates that expired without having been replaced.',
    ),
    certificateRemainingSeconds: histogram(
      'certificate_remaining_seconds',
      'Validity left of the certificate that connects.',
      [3600, 86_400, 7 * 86_400, 30 * 86_400, 90 * 86_400, 365 * 86_400],
    ),
    revocationPropagationSeconds: histogram(
      'revocation_propagation_seconds',
      'From the registry commit to the end of the last connection.',
      latencyBuckets,
    ),
    crlNextUpdateTimestampSeconds: gauge(
      'crl_next_update_timestamp_seconds',
      'When the CRL that is published for an issuer ends, in seconds since 1970.',
      ['issuer'],
    ),
    foreignStatusRemainingSeconds: gauge(
      'foreign_status_remaining_seconds',
      'How long the revocation state of the certificates of a foreign CA is known; below 0 they are refused.',
      ['issuer'],
    ),
    directoryLagSeconds: gauge(
      'directory_lag_seconds',
      'How long ago the directory was last known to be complete.',
      [],
      'max',
    ),
    workers: gauge('workers', 'Processes that hear devices.', [], 'max'),
    workerRestartsTotal: counter('worker_restarts_total', 'Workers started in place of one that had ended.'),
  };

  metrics.workers.set(1);
  for (const protocol of protocols) {
    metrics.connections.set({ protocol }, 0);
    metrics.connectsTotal.inc({ protocol, result: 'admitted', reason: 'none' }, 0);
    for (const reason of faultKinds) metrics.connectsTotal.inc({ protocol, result: 'refused', reason }, 0);
    for (const eventClass of eventClasses)
      metrics.messagesAcceptedTotal.inc({ class: eventClass, protocol }, 0);
  }
  for (const reason of ['too-large', 'expired']) metrics.messagesWithheldTotal.inc({ reason }, 0);
  for (const reason of faultKinds) metrics.messagesRefusedTotal.inc({ reason }, 0);
  for (const result of commandStates)
    metrics.commandsTotal.inc({ result: result === 'queued' ? 'sent' : result }, 0);
  for (const address of ['same', 'other']) metrics.takeoversTotal.inc({ address }, 0);
  metrics.enrollmentsTotal.inc({ result: 'issued', reason: 'none' }, 0);
  metrics.enrollmentsTotal.inc({ result: 'pending', reason: 'approval-pending' }, 0);
  for (const reason of faultKinds) metrics.enrollmentsTotal.inc({ result: 'refused', reason }, 0);
  for (const within of ['1d', '7d', '30d']) metrics.certificatesExpiring.set({ within }, 0);
  for (const result of ['issued', 'repeated']) metrics.renewalsTotal.inc({ result, reason: 'none' }, 0);
  for (const reason of faultKinds) metrics.renewalsTotal.inc({ result: 'refused', reason }, 0);
  return metrics;
}

export type Metrics = ReturnType<typeof openMetrics>;
