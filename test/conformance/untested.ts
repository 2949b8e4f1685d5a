/** Statements without a test: those that bind the client, and those of which nothing can be seen at a server. */
import type { Untested, Version } from './statement.ts';

const client = 'binds the client';
const noAuth = 'no AUTH is ever sent: the client certificate is the authentication';

const of = (version: Version, why: string, statements: Readonly<Record<string, string>>): Untested[] =>
  Object.entries(statements).map(([clause, says]) => ({ clause: `MQTT-${clause}`, version, says, why }));

export const untested: readonly Untested[] = [
  ...of(4, client, {
    '2.3.1-2': 'a client takes packet identifiers that are not in use',
    '2.3.1-3': 'a client sends again with the same identifier',
    '3.1.2-23': 'a client keeps its keep-alive',
    '3.14.4-1': 'a client closes after DISCONNECT',
    '3.14.4-2': 'a client sends nothing after DISCONNECT',
    '4.5.0-2': 'a client acknowledges what it gets',
    '4.6.0-2': 'a client sends PUBACK in order',
    '4.6.0-3': 'a client sends PUBREC in order',
    '4.6.0-4': 'a client sends PUBREL in order',
    '6.0.0-3': 'a client offers the subprotocol mqtt',
    '7.1.2-1': 'a client uses an ordered, lossless stream',
  }),
  ...of(4, 'every refusal of ours has a return code of the table', {
    '3.2.2-6': 'where no return code fits, the connection ends without CONNACK',
  }),
  ...of(4, 'a transient error cannot be caused from outside', {
    '4.8.0-2': 'a transient error ends the connection',
  }),
  ...of(4, 'the gateway makes no MQTT connections to other servers', {
    '7.0.0-1': 'a server that connects to others is a client as well',
  }),
  ...of(5, client, {
    '3.1.2-20': 'a client sends PINGREQ within its keep-alive',
    '3.1.2-21': 'a client uses the Server Keep Alive',
    '3.1.2-30': 'a client that authenticates sends AUTH and DISCONNECT alone until CONNACK',
    '3.2.2-4': 'a client without a session ends on session present 1',
    '3.2.2-5': 'a client discards its session on session present 0',
    '3.2.2-11': 'a client stays within Maximum QoS',
    '3.2.2-14': 'a client does not retain where Retain Available is 0',
    '3.2.2-21': 'a client uses the Server Keep Alive',
    '3.3.2-10': 'a client accepts the topic aliases that it allowed',
    '3.3.4-8': 'a client does not hold back other packets for Receive Maximum',
    '4.5.0-2': 'a client acknowledges what it gets',
    '4.6.0-2': 'a client sends PUBACK in order',
    '4.6.0-3': 'a client sends PUBREC in order',
    '4.6.0-4': 'a client sends PUBREL in order',
    '4.12.0-3': 'a client answers AUTH with AUTH',
    '6.0.0-3': 'a client offers the subprotocol mqtt',
    '4.12.1-1': 'a client authenticates again with the same method',
  }),
  ...of(5, 'every QoS is supported', {
    '3.2.2-12': 'a Will QoS that is not supported is refused',
  }),
  ...of(5, 'retained messages are supported; who may leave one is a matter of roles', {
    '3.2.2-13': 'a Will retain that is not supported is refused',
  }),
  ...of(5, noAuth, {
    '3.15.2-1': 'AUTH has a reason code of its table',
    '3.15.2-2': 'no reason string that makes AUTH longer than the receiver takes',
    '3.15.2-3': 'no user property that makes AUTH longer than the receiver takes',
    '4.12.0-2': 'AUTH that asks for more has reason 0x18',
    '4.12.0-5': 'AUTH and CONNACK carry the method of the CONNECT',
    '4.12.1-2': 'an authentication again that fails ends the connection',
  }),
];
