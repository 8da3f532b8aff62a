"""Names and sentence patterns of the quick start's task (`sample_task.py`): facts of common knowledge, and plain data.

Lists are long on purpose: `sample_task.py` keeps a part of each away from the training file and another part for the
test file only. Order matters to the generated files, so append rather than insert.
"""


def _names(text: str) -> tuple[str, ...]:
    """The entries of a comma-separated text."""
    return tuple(" ".join(entry.split()) for entry in text.split(",") if entry.strip())


LISTS = {
    "first": _names("""
        Maria, John, Wei, Fatima, Pierre, Aisha, Hans, Yuki, Carlos, Olga, Ahmed, Ingrid, Raj, Chloe, Dmitri, Amara,
        Giulia, Kwame, Sofia, Mehmet, Priya, Lars, Camila, Tomasz, Nadia, Kenji, Elena, Oluwaseun, Anders, Leila,
        Mateo, Siobhan, Ivan, Mei, Abdul, Katarzyna, Diego, Hanna, Samuel, Zeynep, Luca, Ngozi, Erik, Rosa, Hiroshi,
        Anna, Tariq, Beatriz, Jürgen, Lakshmi, Patrick, Svetlana, Kofi, Isabelle, Omar, Greta, Rafael, Noor, Michael,
        Agnieszka, Sanjay, Freya, Pablo, Thandiwe, Björn, Valentina, Yusuf, Emily, Andrei, Sakura, Luis, Margarethe,
        Vikram, Niamh, Marco, Amina, Oskar, Teresa, Chinedu, Helena, Robert, Farah, Gustav, Lucía, Mikhail, Grace,
        Arjun, Elisabeth, Paolo, Zainab, David, Ewa, Hassan, Matilda, Sergio, Nguyen, Katrin, Ibrahim, Alice, Ravi,
        Florence, Charlotte, Austin, Victoria, Jordan, Paris, Sydney, Madison, Chelsea, Georgia, Virginia, Lincoln
        """),
    "last": _names("""
        Smith, Garcia, Müller, Tanaka, Ivanov, Okafor, Rossi, Singh, Dubois, Kim, Hansen, Silva, Nowak, Ali, Johnson,
        Kowalski, Yamamoto, Petrov, Mensah, Bianchi, Patel, Moreau, Park, Johansson, Santos, Kaya, O'Brien, Chen,
        Fernández, Schmidt, Sato, Volkov, Adeyemi, Ferrari, Sharma, Laurent, Nguyen, Larsen, Costa, Demir, Williams,
        Wang, Martínez, Weber, Suzuki, Popov, Diallo, Romano, Gupta, Lefebvre, Tran, Lindqvist, Almeida, Yılmaz,
        Brown, Zhang, Rodríguez, Fischer, Watanabe, Sokolov, Mbeki, Esposito, Reddy, Girard, Pham, Virtanen, Pereira,
        Haddad, Davies, Liu, Gómez, Schneider, Kobayashi, Morozov, Owusu, Colombo, Iyer, Fontaine, Hussain, Eriksson,
        Carvalho, Novák, Murphy, Huang, Castillo, Becker, Nakamura, Lebedev, Banda, Ricci, Menon, Chevalier, Rahman,
        Nielsen, Barbosa, Horváth, Campbell, Zhou, Vargas, Hoffmann, Takahashi, Orlov, Kamau, Greco, Rao, Mercier,
        Einstein, Darwin, Curie, Mandela, Gandhi, Mozart, Shakespeare, Newton, Picasso, Churchill, Merkel, Obama,
        Messi, Federer, Hemingway, Beethoven, Tesla, Galilei, Kahlo, Dickens, Goethe, Chopin, Kennedy, Thatcher,
        Washington, Jackson, Hilton, Ford, Houston, Jordan, Hamilton, Lincoln, Wellington, Dell, Philips, Boeing,
        Disney, Siemens, Bosch, Honda, Porsche, Armani, Chanel, Morgan, Wells, Rice, Bush, Young, Banks, Stone, Marsh
        """),
    "city": _names("""
        London, Tokyo, Berlin, Lagos, Lima, Madrid, Cairo, Toronto, Mumbai, Moscow, Chicago, Vienna, Nairobi, Lyon,
        Oslo, Jakarta, Prague, Boston, Seoul, Munich, Bogotá, Lisbon, Karachi, Hamburg, Seattle, Rome, Accra, Kyoto,
        Warsaw, Denver, Istanbul, Marseille, Helsinki, Manila, Budapest, Atlanta, Athens, Turin, Hanoi, Montreal,
        Dublin, Casablanca, Cologne, Santiago, Riga, Detroit, Naples, Osaka, Ankara, Porto, Leeds, Havana, Zagreb,
        Delhi, Miami, Ghent, Tbilisi, Perth, Kraków, Nantes, Dakar, Quito, Stuttgart, Glasgow, Baku, Seville, Oulu,
        Shanghai, Bristol, Tallinn, Recife, Łódź, Cleveland, Lahore, Antwerp, Leipzig, Brisbane, Genoa, Durban,
        Malmö, Bordeaux, Vilnius, Chennai, Cardiff, Zürich, Tunis, Memphis, São Paulo, Buenos Aires, New York,
        San Francisco, Los Angeles, Cape Town, Hong Kong, Kuala Lumpur, Salt Lake City, Addis Ababa, Tel Aviv,
        Washington, Jackson, Houston, Lincoln, Hamilton, Wellington, Florence, Charlotte, Austin, Victoria, Paris,
        Sydney, Madison, Chelsea, Dallas, Phoenix, Barcelona, Liverpool, Milan, Santander, Reading, Nice, Split, Bath
        """),
    "country": _names("""
        France, Japan, Brazil, Nigeria, Canada, India, Germany, Peru, Egypt, Norway, Italy, Kenya, Mexico, Poland,
        Australia, Turkey, Spain, Vietnam, Sweden, Ghana, Portugal, Chile, Greece, Thailand, Morocco, Finland, Russia,
        Argentina, Indonesia, Hungary, Ethiopia, Belgium, Colombia, Ireland, Pakistan, Austria, Cuba, Denmark, Iran,
        Ukraine, Senegal, Netherlands, Uruguay, Estonia, Nepal, Bolivia, Croatia, Malaysia, Tunisia, Iceland,
        South Korea, New Zealand, South Africa, Sri Lanka, Costa Rica, Czech Republic, Jordan, Georgia, Chad, China
        """),
    "region": _names("""
        Bavaria, California, Scotland, Andalusia, Ontario, Punjab, Tuscany, Queensland, Normandy, Texas, Siberia,
        Catalonia, Kerala, Wales, Brittany, Sicily, Alaska, Patagonia, Hokkaido, Flanders, Quebec, Saxony, Galicia,
        Oregon, Bengal, Lombardy, Crimea, Tasmania, Lapland, Michigan, Virginia, Carolina, Georgia, Victoria, Alberta
        """),
    "water": _names("""
        Danube, Nile, Rhine, Amazon, Volga, Ganges, Mississippi, Thames, Seine, Mekong, Congo, Loire, Elbe, Yangtze,
        Indus, Tiber, Zambezi, Vistula, Niger, Colorado, Baltic Sea, Lake Geneva, Lake Victoria, Black Sea, Hudson,
        Lake Titicaca, Red Sea, Tigris, Euphrates, Orinoco, Jordan, Hudson Bay, Lake Superior, Oder, Severn, Don
        """),
    "peak": _names("""
        Alps, Andes, Himalayas, Mount Everest, Pyrenees, Kilimanjaro, Mont Blanc, Mount Fuji, Carpathians, Vesuvius,
        Urals, Matterhorn, Mount Olympus, Caucasus, Etna, Rocky Mountains, Atlas, Mount Rainier, Dolomites, Denali
        """),
    "firm": _names("""
        Google, Toyota, Siemens, Microsoft, Nestlé, Samsung, IBM, Volkswagen, Sony, Intel, Airbus, Nokia, Boeing,
        BMW, Unilever, Philips, Honda, Pfizer, Ericsson, Bayer, Ford, Shell, Apple, Oracle, Renault, Nissan, Bosch,
        Tata, Huawei, Novartis, Fiat, Adidas, Amazon, Dell, Disney, Hilton, Tesla, Nintendo, Lufthansa, Ryanair,
        Ferrari, Porsche, Armani, Chanel, Puma, Visa, Target, Gap, Starbucks, Heineken, Danone, Vodafone, Santander,
        Goldman Sachs, Morgan Stanley, General Electric, General Motors, Deutsche Bank, Credit Suisse, Rolls Royce,
        Air France, British Airways, Wells Fargo, Procter & Gamble, Johnson & Johnson, Hewlett Packard, Gazprom
        """),
    "club": _names("""
        Arsenal, Juventus, Ajax, Real Madrid, Bayern Munich, Benfica, Celtic, Boca Juniors, Flamengo, Galatasaray,
        Inter Milan, Everton, Lakers, Yankees, Red Sox, Chicago Bulls, Dallas Cowboys, Aston Villa, Tottenham Hotspur,
        Paris Saint-Germain, Borussia Dortmund, River Plate, Washington, Barcelona, Liverpool, Chelsea, Milan,
        Houston, Phoenix, Charlotte, Boston Celtics, Toronto Raptors, Manchester City, Feyenoord, Santos, Valencia
        """),
    "body": _names("""
        United Nations, NATO, World Bank, European Union, UNESCO, Red Cross, World Health Organization, FIFA, NASA,
        Interpol, Greenpeace, OPEC, African Union, Amnesty International, European Commission, Labour Party, CERN,
        Democratic Party, Green Party, International Olympic Committee, Federal Reserve, Supreme Court, Senate, FBI,
        Ministry of Health, Ministry of Finance, UNICEF, Oxfam, Royal Society, Congress, Scotland Yard, UEFA
        """),
    "press": _names("""
        New York Times, Le Monde, Guardian, BBC, Reuters, Der Spiegel, El País, Washington Post, CNN, Financial Times,
        Times of India, Al Jazeera, La Repubblica, Daily Mail, Wall Street Journal, Asahi Shimbun, Economist, Time
        """),
    "school": _names("""
        Harvard, Oxford, Yale, Stanford, Cambridge, Princeton, Sorbonne, Cornell, MIT, Columbia, Duke, Brown, Eton
        """),
    "initial": tuple(f"{letter}." for letter in "ABCDEFGHJKLMNPRSTVW"),
    # Words that are no names here, whatever they look like.
    "nationality": _names("""
        French, Japanese, Nigerian, German, Indian, Brazilian, Polish, Turkish, Canadian, Kenyan, Spanish, American,
        Swedish, Russian, Egyptian, Chinese, Mexican, Irish, Greek, Danish
        """),
    "role": _names("""
        painter, minister, striker, engineer, novelist, judge, singer, professor, chairman, goalkeeper, actress, poet,
        senator, coach, chemist, composer, director, bishop, mayor, general, farmer, nurse, banker, pilot
        """),
    "thing": _names("""
        bridge, contract, novel, law, hospital, record, vaccine, report, film, dam, stadium, budget, museum, software,
        strike, election, song, treaty, school, telescope, apple, shell, target, bill, grant, stone, bank, marsh
        """),
    "adjective": _names("""
        new, young, brown, controversial, small, early, famous, old, forgotten, expensive, local, final, rich, late
        """),
    "year": tuple(str(year) for year in range(1871, 2024, 7)),
    "number": _names("2, 3, 4, 5, 7, 9, 12, 15, 18, 24, 30, 45, 60, 85, 120, 300, 450, 1200"),
    "month": _names("January, March, April, May, June, July, August, September, October, November"),
    "day": _names("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
}


# How an entity is made of the lists: its type, and equally likely patterns (one given twice is twice as likely).
ENTITIES = {
    "person": (
        "PER",
        ("{first} {last}",) * 6 + ("{last}", "{last}", "{first}", "{initial} {last}", "{first} {initial} {last}"),
    ),
    "surname": ("PER", ("{last}",)),
    "given": ("PER", ("{first}",)),
    "town": ("LOC", ("{city}",)),
    "nation": ("LOC", ("{country}",)),
    "area": ("LOC", ("{region}",)),
    "river": ("LOC", ("{water}",)),
    "mountains": ("LOC", ("{peak}",)),
    "place": ("LOC", ("{city}", "{city}", "{city}", "{country}", "{country}", "{region}")),
    "site": (
        "LOC",
        (
            "{last} Street",
            "{city} Airport",
            "{last} Park",
            "{first} Island",
            "Mount {last}",
            "{city} Bridge",
            "{last} Bay",
            "{last} Square",
            "North {city}",
            "Lake {first}",
            "Port {last}",
            "{last} County",
        ),
    ),
    "company": (
        "ORG",
        ("{firm}",) * 6
        + (
            "{last} & {last}",
            "{last} Group",
            "{city} Airlines",
            "{last} Motors",
            "{country} Telecom",
            "{last} Brothers",
            "{water} Energy",
            "{first} Foods",
            "Bank of {country}",
        ),
    ),
    "team": (
        "ORG",
        ("{club}",) * 4
        + ("{city}", "{city}", "{city} United", "{city} Tigers", "FC {city}", "{city} Rovers", "{region} Eagles"),
    ),
    "college": (
        "ORG",
        (
            "{school}",
            "University of {city}",
            "University of {region}",
            "{last} College",
            "{city} Institute of Technology",
        ),
    ),
    "institution": (
        "ORG",
        ("{body}", "{body}", "{body}", "{country} Red Cross", "{last} Foundation", "Bank of {country}"),
    ),
    "paper": ("ORG", ("{press}", "{press}", "{city} Gazette", "{city} Herald", "Daily {last}")),
}


OPENINGS = (
    "In {year} ,",
    "According to the {paper} ,",
    "On {day} ,",
    "Last {month} ,",
    "After {number} years in {town} ,",
    "Meanwhile ,",
    "In the {adjective} report ,",
    "While visiting {nation} ,",
    "Together with {person} ,",
    "As {surname} told the {paper} ,",
    "Before joining {company} ,",
    "At the time ,",
    "Backed by the {institution} ,",
    "Near the {river} ,",
    "Born in {town} ,",
    "Unlike {given} ,",
    "Against {team} ,",
    "Throughout {area} ,",
    "With the help of {company} ,",
    "Having left {college} ,",
)


CLAUSES = (
    "{person} was born in {place}",
    "{person} signed for {team} in {year}",
    "{company} opened a {adjective} factory in {place}",
    "{team} beat {team} {number} to {number}",
    "the {nationality} {role} {person} died in {place}",
    "{person} studied chemistry at {college}",
    "shares of {company} fell {number} percent",
    "the {river} flows through {place}",
    "the {institution} sent {number} doctors to {place}",
    "Mr {surname} refused to sign the {thing}",
    "flights from {place} to {place} were cancelled",
    "{person} , a {role} , wrote a {thing} about {person}",
    "{company} hired {person} as its {adjective} director",
    "the {paper} praised the {adjective} {thing}",
    "heavy rain fell over {place} and {area}",
    "{surname} scored twice for {team}",
    "the {mountains} can be seen from {town}",
    "{given} and her brother {given} moved to {place}",
    "the {thing} was paid for by {company}",
    "{person} married the {role} {person}",
    "they will grant the {role} a {adjective} {thing}",
    "{company} and {company} agreed to build the {thing}",
    "the army of {nation} crossed the {river}",
    "the {adjective} {thing} was finished in {month} {year}",
    "{team} play their home games in {town}",
    "{college} gave {person} a prize",
    "fans of {team} travelled to {place}",
    "the road to {site} is closed",
    "Dr {surname} treated {number} patients in {town}",
    "the {institution} accused {company} of a cartel",
    "{person} ( born {year} ) is a {nationality} {role}",
    "trade between {nation} and {nation} grew",
    "a train from {town} stopped at {site}",
    "{team} sacked their coach {person}",
    "the population of {place} is {number} thousand",
    "customers of {company} complained about the {thing}",
    "President {surname} met the {institution}",
    "an apple tree and a rose stood by the {thing}",
    "{surname} 's wife {given} was a {nationality} {role}",
    "the {role} said nothing about the {thing}",
    "{company} sold {number} thousand cars in {nation}",
    "{town} is the capital of {nation}",
    "students at {college} met {person}",
    "the {role} swam across the {river}",
    "{person} lost to {person} in the final",
    "{team} bought {person} from {team}",
    "a bridge over the {river} near {site} collapsed",
    "{person} works for {company} in {town}",
    "young people will target the rich banks in {month}",
    "the lawyers of {company} wrote to {person}",
    "the mayor of {town} welcomed {person}",
    "{place} borders {place} and the {river}",
    "the goalkeeper of {team} broke his arm",
    "Mrs {surname} sang in {place}",
    "{person} joined the board of {company}",
    "{company} , founded by {person} , makes {thing} parts",
    "the {institution} meets in {town} every {month}",
    "an earthquake hit {place} at {number} o'clock",
    "{person} climbed the {mountains} in {number} days",
    "the {paper} was first printed in {town}",
    "{given} was nominated by the {institution}",
    "{site} lies {number} kilometres north of {town}",
    "{company} 's profits rose by {number} percent",
    "the {nationality} team trained in {area}",
    "the {role} bought a {thing} on {site}",
    "{person} defended {company} in court",
    "{team} lead the table ahead of {team}",
    "{person} painted the {river} many times",
    "the {institution} elected {person}",
    "tourists love the beaches of {place}",
    "engineers at {company} tested the {thing}",
    "{surname} kicked the ball to {surname}",
    "nobody in {place} read the {paper}",
    "{town} , {nation}",
    "{team} {number} - {number} {team}",
    "{person} - {role}",
    "list of people from {place}",
    "{company} ( {town} )",
    "{person} / {person} , {thing}",
    "{site} , {area}",
)


ENDINGS = (
    "last year",
    ", said {person}",
    "in {town}",
    ", the {paper} reported",
    "for {number} months",
    "because of the {thing}",
    "before the war with {nation}",
    ", according to {company}",
    "in front of {number} people",
    "on {day}",
    "and thanked {given}",
    "while {person} watched",
    "near {site}",
    ", which angered the {institution}",
    "at {college}",
    "despite protests in {place}",
    "after the game against {team}",
    ", {surname} added",
    "without the {adjective} {thing}",
    "along the {river}",
)
