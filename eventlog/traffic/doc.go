// Package traffic makes meeting traffic from a seed: what a provider of video
// meetings would post to a webhook, realistic in the large and adversarial in
// the small. The same Config gives the same deliveries, byte for byte.
//
// # What it imitates
//
// Sessions arrive as a Poisson process in virtual time and last a lognormal
// time. People join, drop and come back under a new peer id, or sit there with
// two devices. Recordings go through their stages; some fail, some get stuck.
// Livestreams go LIVE, OFFLINE and LIVE again with identical bodies. After the
// end come the chat dump, the transcript and the summary. Each session speaks
// one of the three generations of payloads (see [Generation]).
//
// # What goes wrong, on purpose
//
//   - the network: deliveries are delayed a little, some a lot, so that causes
//     arrive after their effects; Config.Shuffle makes it an arbitrary order
//   - retries: Config.Duplicates of the deliveries come twice, half of them with
//     the same delivery id, half under another subscription with another id
//   - scenes: Config.Scenes stages a ghost, a recording that gets stuck and a leave
//     that comes after the end, to show one of each at once
//   - losses: Config.Lost of them never come
//   - people: ghosts who never leave, leaves that come after the end, sessions
//     that never end, starts that nobody subscribed to
//   - the provider: Config.Noise of the sessions carry an unknown type, a body
//     that is no JSON, a name that stands twice, a field of another type
//
// # Order
//
// [New] yields in the order of arrival: Delivery.At never goes back. Memory is
// bounded by the sessions that overlap, and by Config.ShuffleWindow.
//
// Nothing here is a real person, meeting or address: names are of the form
// "Guest 12", hosts end in example.com.
package traffic
