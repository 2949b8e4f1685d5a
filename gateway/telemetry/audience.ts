/** Local subscribers of what devices say: backends that connect by MQTT and whose role lets them listen. */
export interface Audience {
  /** Whether anybody subscribes to a topic of this kind; cheap enough to ask for every event. */
  wants(topic: string): boolean;
  /**
   * Hands a copy to the subscribers that match. The payload is copied before the call returns; `clientId` is the MQTT
   * client that said it, which may not want to hear itself.
   */
  deliver(topic: string, payload: Uint8Array, qos: 0 | 1 | 2, contentType: string, clientId?: string): void;
}
