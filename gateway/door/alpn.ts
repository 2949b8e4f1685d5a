/** The names by which clients say in the TLS handshake what they will speak (RFC 7301), so that one port is enough for all of it. */

/** `mqtt` is registered with IANA; the other is what devices say that were made for a broker at port 443. */
export const mqttNames: readonly string[] = ['mqtt', 'x-amzn-mqtt-ca'];

/** In the order in which a client that offers several is answered. Whoever offers none of them gets `no_application_protocol`. */
export const httpsDoorNames: readonly string[] = ['http/1.1', ...mqttNames];

/** Whether the handshake has agreed on MQTT; a client that named nothing speaks what its door is for. */
export const agreedOnMqtt = ({ alpnProtocol }: { alpnProtocol: string | false | null }): boolean =>
  typeof alpnProtocol === 'string' && mqttNames.includes(alpnProtocol);
