/** The two word lists of generated container names. Own lists: an adjective, and a sailor, a port or a kind of ship. */

export const adjectives = (
  'able agile amber ample apt arctic azure balmy blithe bold brave breezy bright brisk calm candid cheery civil clear ' +
  'clever coastal cool coral cosy crisp curious daring dauntless deep deft distant dreamy eager early earnest easy ' +
  'elated fair faithful fearless fertile fine fleet fond free fresh gallant gentle gilded glad golden good grand great ' +
  'handy happy hardy harbour hearty helpful honest humble ideal indigo jaunty jolly jovial keen kind laden large lasting ' +
  'leeward light lively long loyal lucid lucky lunar mellow merry mighty mild misty modest moored neat nimble noble ' +
  'northern open outbound patient peaceful placid plucky polar polite prime proud quick quiet rapid ready regal resolute ' +
  'robust rosy rugged safe sage salty sandy seaworthy serene sharp shiny silent silver simple sleek smart smooth snug ' +
  'sober solar solid southern spirited spry stable starry steady stellar stout sturdy subtle sunny sure swift tall tame ' +
  'tidal tidy tranquil trim true trusty upbeat valiant vast verdant vigilant vivid warm watchful weathered western ' +
  'windward wise witty zesty'
).split(' ');

export const nouns =
  // sailors and explorers
  (
    'amundsen anson baffin barents barentsz bartholomew bass baudin bering bligh bougainville byron cabot cabral cadamosto ' +
    'cano cartier cavendish chichester columbus cook cousteau dampier davis delgado dias drake elcano ericson eriksson ' +
    'flinders foyle franklin frobisher furneaux gama gilbert grace greenwich hawkins henry hornblower hudson kidd laperouse ' +
    'lazarev leif magellan moitessier nansen nelson nemo pytheas raleigh ross scott shackleton sinbad slocum tabarly tasman ' +
    'tordesillas torres tupaia vancouver vespucci weddell willoughby zheng ' +
    // ports
    'aarhus acapulco aden algeciras amsterdam antwerp athens auckland bergen bilbao bombay bordeaux boston bremen brest ' +
    'bristol busan cadiz cardiff cartagena casablanca cherbourg colombo copenhagen cork dakar danzig dover dubrovnik dunkirk ' +
    'durban esbjerg galway gdynia genoa gothenburg halifax hamburg havana helsinki hobart jakarta kiel kobe lagos leith ' +
    'lisbon liverpool livorno malmo manila maputo marseille mombasa montevideo nagasaki nantes naples odessa oporto oslo ' +
    'ostend palermo panama piraeus plymouth porto portsmouth ragusa reykjavik riga rostock rotterdam santos savona seattle ' +
    'shanghai singapore split stavanger sydney tallinn tampico toulon trieste tripoli tunis turku valencia valparaiso ' +
    'varna venice veracruz vigo wellington whitby yokohama zeebrugge ' +
    // ships
    'argosy barge bark barque barquentine bireme brig brigantine caique canoe caravel carrack catamaran clipper cog coracle ' +
    'corvette cutter dhow dinghy dory drifter dromond felucca ferry fluyt frigate galleass galleon galley gig gondola hulk ' +
    'icebreaker junk kayak ketch knarr launch lighter longship lugger packet pilot pinnace polacca prahu proa punt sampan ' +
    'schooner scow skiff sloop smack steamer tender trawler trimaran trireme tug wherry xebec yacht yawl'
  ).split(' ');
